/** One field of a form: what it means, what is chosen if nobody does, and what is wrong with it. */

import { h, uniqueId } from "../dom.js";
import { readValue, writeValue } from "./schema.js";

const LABELS = {
  num_train_epochs: "Epochs", per_device_train_batch_size: "Batch size", learning_rate: "Learning rate", max_length: "Longest text, in tokens", seed: "Seed",
};

/**
 * @typedef {{element: HTMLElement, input: HTMLElement, set: (value: *) => void, show: (resolved: *) => void, problem: (message: string|null) => void}} FieldView
 *   `show`: what the server makes of a field that is left empty
 */

/**
 * A label, an input of the caller's, and room for what is wrong.
 * @param {{path: string, label: import("../dom.js").Child, input: HTMLElement, description?: string}} options
 * @returns {FieldView}
 */
export function fieldShell({ path, label, input, description = "" }) {
  const [hintId, errorId] = [uniqueId("hint"), uniqueId("error")];
  input.id ||= uniqueId("field");
  input.setAttribute("aria-describedby", description ? `${errorId} ${hintId}` : errorId);
  const error = h("p", { class: "error", id: errorId, hidden: true });
  const element = h("div", { class: "field", dataset: { path } }, h("label", { for: input.id }, label), input, error,
    description ? h("p", { class: "hint", id: hintId }, description) : null);
  return {
    element, input,
    set: (value) => (input.value = writeValue(value)),
    show: () => {},
    problem(message) {
      error.hidden = message === null;
      error.textContent = message ?? "";
      if (message === null) input.removeAttribute("aria-invalid");
      else input.setAttribute("aria-invalid", "true");
    },
  };
}

/**
 * A field made from its schema.
 * @param {import("./schema.js").Field} field
 * @param {{value?: *, onChange: (value: *) => void, label?: string}} options
 * @returns {FieldView}
 */
export function settingField(field, { value, onChange, label = LABELS[field.name] ?? field.name }) {
  const isChoice = field.kind === "boolean" || field.kind === "choice";
  const unset = field.default === undefined ? (field.canBeNull ? "none" : "") : writeValue(field.default);
  const input = isChoice ? choice(field, unset) : text(field, unset);
  input.value = writeValue(value);
  input.addEventListener(isChoice ? "change" : "input", () => onChange(readValue(field, input.value)));
  const view = fieldShell({ path: field.path, label: label === field.name ? h("code", null, field.name) : label, input, description: field.description });
  return {
    ...view,
    show(resolved) {
      const chosen = resolved === undefined || resolved === null ? unset : writeValue(resolved);
      const words = unset === "auto" && chosen !== "auto" ? `auto: ${chosen}` : chosen;
      if (isChoice) input.options[0].textContent = words === "" ? "unset" : unset === "auto" ? words : `default: ${words}`;
      else input.placeholder = words;
    },
  };
}

function text(field, unset) {
  const isNumber = field.kind === "number" || field.kind === "integer";
  return h("input", { class: "input", type: "text", autocomplete: "off", spellcheck: "false", placeholder: unset, inputmode: isNumber ? "decimal" : null });
}

function choice(field, unset) {
  const others = [...(field.kind === "boolean" ? ["true", "false"] : field.choices), ...(field.canBeAuto && field.default !== "auto" ? ["auto"] : [])];
  return h("select", { class: "select" }, h("option", { value: "" }, unset === "" ? "unset" : `default: ${unset}`), others.map((each) => h("option", { value: each }, each)));
}
