import { h } from "../dom.js";
import { icon } from "./icons.js";

const SHOWN_SECONDS = 6;

/**
 * Say that something happened; screen readers read it out. Errors stay until they are closed.
 * @param {string} message
 * @param {{kind?: "ok"|"bad", detail?: string|null}} [options]
 */
export function toast(message, { kind = "ok", detail = null } = {}) {
  const element = h("div", { class: `toast ${kind}` },
    icon(kind === "bad" ? "warn" : "check"),
    h("div", { class: "grow" }, h("div", null, message), detail ? h("div", { class: "muted small" }, detail) : null),
    h("button", { type: "button", class: "button ghost icon", "aria-label": "Close", onclick: () => element.remove() }, icon("cross")));
  document.getElementById("toasts").append(element);
  if (kind === "ok") setTimeout(() => element.remove(), SHOWN_SECONDS * 1000);
}
