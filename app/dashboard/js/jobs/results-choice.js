import { h } from "../dom.js";

/**
 * Whether what a job or a sweep made is deleted with it, as a checkbox that says no.
 * @param {string|null} made what there is of it, in words; null: nothing, so there is nothing to choose
 * @returns {{element: HTMLElement|null, results: () => "keep"|"delete"}}
 */
export function resultsChoice(made) {
  const box = h("input", { type: "checkbox" });
  return {
    element: made === null ? null : h("label", { class: "row" }, box, `Delete ${made} too`),
    results: () => (box.checked ? "delete" : "keep"),
  };
}
