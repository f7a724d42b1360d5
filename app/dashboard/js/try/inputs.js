/** Where the user writes what a model is asked: one input, or several at once. */

import { icon } from "../components/icons.js";
import { h, uniqueId } from "../dom.js";

const MOST = 64;

/**
 * @param {import("./shape.js").Shape} shape
 * @param {{onChange: (inputs: *[]) => void, onSend: () => void}} options
 * @returns {{element: HTMLElement, read: () => *[], fill: (inputs: *[]) => void, focus: () => void}}
 */
export function inputsForm(shape, { onChange, onSend }) {
  const list = h("div", { class: "stack" });
  const add = h("button", { type: "button", class: "button small", onclick: () => addRow(null).focus() }, icon("plus"), "Add an input");
  const element = h("div", { class: "stack tight" }, list, shape.canStream ? null : h("div", null, add));

  function addRow(given) {
    const number = list.children.length + 1;
    const [first, second] = given === null ? ["", ""] : parts(given);
    const areas = [area(shape.names[0], first, shape.isPair && shape.kind === "span" ? 1 : 3)];
    if (shape.isPair) areas.push(area(shape.names[1], second, shape.kind === "span" ? 5 : 3));
    const remove = h("button", { type: "button", class: "button ghost icon", "aria-label": "Remove this input", title: "Remove", onclick: () => {
      row.remove();
      changed();
      add.focus();
    } }, icon("cross"));
    const row = h("div", { class: "try-input", role: "group", "aria-label": `Input ${number}` }, h("div", { class: "try-fields" }, areas.map((one) => one.field)), remove);
    list.append(row);
    changed();
    return areas[0].input;
  }

  function area(label, value, rows) {
    const id = uniqueId("input");
    const input = h("textarea", { class: "textarea", id, rows, value, oninput: changed, onkeydown: (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      onSend();
    } });
    return { input, field: h("div", { class: "field" }, h("label", { for: id }, label), input) };
  }

  function changed() {
    const rows = [...list.children];
    for (const row of rows) row.querySelector(".try-input > .button").hidden = rows.length === 1;
    add.disabled = rows.length >= MOST;
    onChange(read());
  }

  function read() {
    return [...list.children].map((row) => [...row.querySelectorAll("textarea")].map((input) => input.value)).filter((texts) => texts.some((text) => text.trim() !== ""))
      .map(([first, second]) => (!shape.isPair ? first : shape.kind === "span" ? { question: first, context: second } : { text: first, text_pair: second }));
  }

  addRow(null);
  return {
    element, read,
    fill(inputs) {
      list.replaceChildren();
      for (const input of inputs.length ? inputs : [null]) addRow(input);
    },
    focus: () => list.querySelector("textarea")?.focus(),
  };
}

/** @param {*} input @returns {[string, string]} */
export function parts(input) {
  if (typeof input === "string") return [input, ""];
  return [input.text ?? input.question ?? "", input.text_pair ?? input.context ?? ""];
}
