/** What a sweep varies: a row for each field, with a range or choices. */

import { icon } from "../components/icons.js";
import { h } from "../dom.js";
import { readValue } from "../spec/schema.js";

const VARIED = /^(training|adapter)\./;
/** How a job is watched, which is the same for all trials. */
const WATCHING = /^training\.(eval_|save_|logging_|report_to|metric_for_best|greater_is_better|per_device_eval|seed)/;
const FIRST = { path: "training.learning_rate", low: "1e-5", high: "1e-3", isLog: true };

/**
 * @param {{fields: import("../spec/schema.js").Field[], onChange: (space: Object<string, *>) => void}} options
 * @returns {{element: HTMLElement, problem: (path: string, message: string|null) => void, input: HTMLElement}}
 */
export function spaceRows({ fields, onChange }) {
  const varied = fields.filter((field) => VARIED.test(field.path) && !WATCHING.test(field.path) && field.kind !== "json" && field.kind !== "list");
  const list = h("div", { class: "stack tight" });
  const rows = new Set();
  const add = h("button", { type: "button", class: "button small", onclick: () => addRow({ path: next() }).focus() }, icon("plus"), "Vary another setting");
  const element = h("div", { class: "stack tight" }, list, h("div", null, add));
  const next = () => varied.find((field) => ![...rows].some((row) => row.path() === field.path))?.path ?? varied[0].path;

  function addRow({ path, low = "", high = "", isLog = false }) {
    const name = h("select", { class: "select", "aria-label": "Setting", onchange: () => (shape(), tell()) }, varied.map((field) => h("option", { value: field.path }, field.path)));
    name.value = path;
    const kind = h("select", { class: "select", "aria-label": "How", onchange: () => (shape(), tell()) }, h("option", { value: "range" }, "from … to"), h("option", { value: "choices" }, "one of"));
    const text = (label, value, placeholder) => h("input", { class: "input", type: "text", autocomplete: "off", spellcheck: "false", value, placeholder, "aria-label": label, oninput: tell });
    const [from, to, choices] = [text("From", low, "from"), text("To", high, "to"), text("Choices, separated by commas", "", "such as 8, 16, 32")];
    const log = h("input", { type: "checkbox", checked: isLog, onchange: tell });
    const range = h("div", { class: "space-range" }, from, to, h("label", { class: "check" }, log, "log"));
    const remove = h("button", { type: "button", class: "button ghost icon", "aria-label": "Do not vary it", onclick: () => {
      rows.delete(row);
      line.remove();
      tell();
      add.focus();
    } }, icon("cross"));
    const line = h("div", { class: "space-row", role: "group", "aria-label": "A setting that is varied" }, name, kind, range, choices, remove);
    const field = () => varied.find((one) => one.path === name.value);
    const row = { path: () => name.value, read() {
      if (kind.value === "choices") return { choices: choices.value.split(",").map((part) => readValue(field(), part)).filter((part) => part !== undefined) };
      const number = { kind: "number" };
      return { low: readValue(number, from.value), high: readValue(number, to.value), ...(log.checked ? { log: true } : {}) };
    } };

    function shape() {
      const isNumber = field().kind === "number" || field().kind === "integer";
      kind.options[0].disabled = !isNumber;
      if (!isNumber) kind.value = "choices";
      range.hidden = kind.value === "choices";
      choices.hidden = kind.value === "range";
      if (!isNumber && choices.value === "") choices.value = (field().kind === "boolean" ? ["true", "false"] : field().choices).join(", ");
    }

    rows.add(row);
    list.append(line);
    shape();
    tell();
    return name;
  }

  function tell() {
    onChange(Object.fromEntries([...rows].map((row) => [row.path(), row.read()])));
  }

  addRow(FIRST);
  return { element, input: list.querySelector("select") };
}
