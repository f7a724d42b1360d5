/** What is to be learned from which columns. Left alone, the server finds out, and the choices say what it found. */

import { h, replace } from "../dom.js";
import { fieldShell } from "../spec/field.js";

const PARTS = [
  ["columns.text", "Text", false],
  ["columns.text_pair", "Second text", true],
  ["columns.label", "Label", true],
];
const NONE = "\u0000none";

/**
 * @param {{draft: *, tasks: string[]}} options
 * @returns {{element: HTMLElement, views: import("../spec/field.js").FieldView[], offer: (names: string[]) => void, refresh: () => void}}
 */
export function columnsSection({ draft, tasks }) {
  const task = h("select", { class: "select", onchange: () => draft.set("task", task.value || undefined) },
    h("option", { value: "" }, "auto"), tasks.map((name) => h("option", { value: name }, name)));
  const taskView = { ...fieldShell({ path: "task", label: "Task", input: task }), show: (chosen) => (task.options[0].textContent = autoWords(chosen)) };
  const selects = PARTS.map(([path, label, canBeNone]) => {
    const select = h("select", { class: "select", onchange: () => draft.set(path, select.value === NONE ? null : select.value || undefined) });
    const view = fieldShell({ path, label, input: select });
    let [names, found] = [[], undefined];
    const fill = () => {
      const chosen = draft.get(path);
      const known = typeof chosen === "string" && chosen !== "auto" && !names.includes(chosen) ? [...names, chosen] : names;
      replace(select, h("option", { value: "" }, autoWords(found)), canBeNone ? h("option", { value: NONE }, "none") : null, known.map((name) => h("option", { value: name }, name)));
      select.value = chosen === null ? NONE : chosen === "auto" ? "" : (chosen ?? "");
    };
    fill();
    return { fill, offer: (next) => ((names = next), fill()), view: { ...view, show: (chosen) => ((found = chosen), fill()) } };
  });
  return {
    element: h("div", { class: "field-grid" }, taskView.element, selects.map((one) => one.view.element)),
    views: [taskView, ...selects.map((one) => one.view)],
    /** What was chosen for another file and is no column of this one is left to be found again. */
    offer(names) {
      for (const [path] of PARTS) if (typeof draft.get(path) === "string" && !names.includes(draft.get(path))) draft.set(path, undefined);
      selects.forEach((one) => one.offer(names));
    },
    refresh() {
      task.value = draft.get("task") ?? "";
      selects.forEach((one) => one.fill());
    },
  };
}

function autoWords(found) {
  return found === undefined || found === "auto" ? "auto" : found === null ? "auto: none" : `auto: ${found}`;
}
