import { ApiError, isAbort } from "../api.js";
import { h } from "../dom.js";
import { icon } from "./icons.js";
import { toast } from "./toast.js";

/**
 * What went wrong, where, and what to do.
 * @param {unknown} error
 * @param {{onRetry?: () => void}} [options]
 */
export function problemPanel(error, { onRetry } = {}) {
  const told = error instanceof ApiError ? error : null;
  const problems = told && told.problems.length > 1 ? told.problems : [];
  if (told === null) console.error(error);
  return notice(
    "bad",
    error instanceof Error ? error.message : String(error),
    told?.param ? h("p", null, "Where: ", h("code", null, told.param)) : null,
    problems.length
      ? h("ul", null, problems.map((problem) => h("li", null, problem.row ? `Row ${problem.row}: ` : "", problem.param ? [h("code", null, problem.param), " "] : "", problem.message)))
      : null,
    error?.hint ? h("p", null, error.hint) : null,
    told ? h("p", { class: "muted small" }, told.status ? `${told.status} ${told.code}` : told.code) : null,
    onRetry ? h("p", null, h("button", { type: "button", class: "button small", onclick: onRetry }, "Try again")) : null,
  );
}

/**
 * @param {"bad"|"warn"|"info"} kind
 * @param {string} title
 * @param {...import("../dom.js").Child} children
 */
export function notice(kind, title, ...children) {
  return h(
    "div",
    { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null },
    icon(kind === "info" ? "info" : "warn"),
    h("div", { class: "notice-body" }, h("p", { class: "notice-title" }, title), children),
  );
}

/** @param {unknown} error that an action of the user's ended with; that nobody waits any more is none */
export function toastProblem(error) {
  if (isAbort(error)) return;
  toast(error instanceof Error ? error.message : String(error), { kind: "bad", detail: error?.hint ?? null });
}
