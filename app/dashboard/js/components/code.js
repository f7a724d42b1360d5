import { h, replace } from "../dom.js";
import { icon } from "./icons.js";
import { toast } from "./toast.js";

/**
 * Text to be copied, such as a command.
 * @param {string} text
 * @param {{label: string, wrap?: boolean}} options
 * @returns {HTMLElement}
 */
export function codeBlock(text, { label, wrap = false }) {
  return h(
    "div",
    { class: "code" },
    h("div", { class: "code-head" }, label, copyButton(() => text, `Copy ${label}`)),
    h("pre", { class: wrap ? "wrap" : null, tabindex: "0", "aria-label": label, role: "region" }, h("code", null, text)),
  );
}

/** @param {() => string} text @param {string} label @returns {HTMLElement} */
export function copyButton(text, label) {
  const button = h("button", { type: "button", class: "button ghost icon", "aria-label": label, title: label, onclick: copy }, icon("copy"));
  async function copy() {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      return toast("The browser did not let us copy.", { kind: "bad", detail: "Select the text and copy it by hand." });
    }
    replace(button, icon("check"));
    toast("Copied.");
    setTimeout(() => replace(button, icon("copy")), 2000);
  }
  return button;
}
