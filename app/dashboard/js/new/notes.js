/** What the job and its model are called, and notes of the user's own. */

import { h, replace } from "../dom.js";
import { icon } from "../components/icons.js";
import { fieldShell } from "../spec/field.js";

const MOST = 16;

/** @param {{draft: *}} options @returns {{element: HTMLElement, views: import("../spec/field.js").FieldView[], refresh: () => void}} */
export function notesSection({ draft }) {
  const suffix = h("input", { class: "input", type: "text", autocomplete: "off", spellcheck: "false", maxlength: 64, placeholder: "such as tickets",
    oninput: () => draft.set("suffix", suffix.value.trim() || undefined) });
  const suffixView = fieldShell({ path: "suffix", label: "Name", input: suffix, description: "Part of the finished model's id: letters, digits, - and _" });
  const list = h("div", { class: "stack tight" });
  const add = h("button", { type: "button", class: "button small", onclick: () => addRow("", "").focus() }, icon("plus"), "Add a note");
  const notes = h("div", { class: "field", dataset: { path: "metadata" } }, h("span", { class: "label" }, "Notes"), list, h("div", null, add));

  function addRow(name, value) {
    const key = h("input", { class: "input", type: "text", value: name, maxlength: 64, placeholder: "team", "aria-label": "Name of the note", oninput: tell });
    const text = h("input", { class: "input", type: "text", value, maxlength: 512, placeholder: "nlp", "aria-label": "Text of the note", oninput: tell });
    const row = h("div", { class: "note-row" }, key, text, h("button", { type: "button", class: "button ghost icon", "aria-label": "Remove the note", onclick: () => {
      row.remove();
      tell();
      add.focus();
    } }, icon("cross")));
    list.append(row);
    add.disabled = list.children.length >= MOST;
    return key;
  }

  function tell() {
    const rows = [...list.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value)).filter(([name]) => name !== "");
    draft.set("metadata", rows.length ? Object.fromEntries(rows) : undefined);
    add.disabled = list.children.length >= MOST;
  }

  function refresh() {
    suffix.value = draft.get("suffix") ?? "";
    replace(list);
    for (const [name, value] of Object.entries(draft.get("metadata") ?? {})) addRow(name, value);
  }

  refresh();
  return { element: h("div", { class: "stack" }, suffixView.element, notes), views: [suffixView], refresh };
}
