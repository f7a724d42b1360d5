/** Hyperparameters: a few that many change, and all others that the server knows, to be searched. */

import { h, uniqueId } from "../dom.js";
import { settingField } from "../spec/field.js";
import { BASIC, grouped } from "../spec/groups.js";

/**
 * @param {{draft: *, fields: import("../spec/schema.js").Field[]}} options
 * @returns {{basic: HTMLElement, all: HTMLElement, views: import("../spec/field.js").FieldView[], refresh: () => void, reveal: (path: string) => void}}
 */
export function settingsSection({ draft, fields }) {
  const byPath = new Map();
  const make = (field) => {
    const view = { ...settingField(field, { value: draft.get(field.path), onChange: (value) => draft.set(field.path, value) }), path: field.path };
    byPath.set(field.path, view);
    return view.element;
  };
  const basic = h("div", { class: "field-grid" }, BASIC.map((path) => fields.find((field) => field.path === path)).filter(Boolean).map(make));
  const adapter = adapterSwitch(draft, { onShow: (isOn) => lora.forEach((one) => (one.hidden = !isOn)), onOff: () => byPath.forEach((view, path) => {
    if (!path.startsWith("adapter.")) return;
    draft.set(path, undefined);
    view.set(undefined);
  }) });

  const groups = grouped(fields).map(([name, found]) => {
    const isAdapter = name === "LoRA adapter";
    const items = found.map((field) => ({ element: make(field), text: `${field.path} ${field.description} ${name}`.toLowerCase() }));
    const count = h("span", { class: "count" });
    const details = h("details", { class: "group" }, h("summary", null, name, count), isAdapter ? adapter.element : null, h("div", { class: "field-grid" }, items.map((item) => item.element)));
    return { name, details, items, count };
  });
  const lora = groups.filter((group) => group.name === "LoRA adapter").map((group) => group.details.querySelector(".field-grid"));

  const searchId = uniqueId("search");
  const search = h("input", { class: "input", type: "search", id: searchId, placeholder: "Search all settings", oninput: () => find(search.value), autocomplete: "off" });
  const none = h("p", { class: "muted", role: "status", hidden: true }, "No setting has these words.");

  function find(words) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    let total = 0;
    for (const group of groups) {
      let fitting = 0;
      for (const item of group.items) {
        const fits = wanted.every((word) => item.text.includes(word));
        item.element.hidden = !fits;
        fitting += fits ? 1 : 0;
      }
      group.details.hidden = fitting === 0;
      group.details.open = wanted.length > 0 && fitting > 0;
      total += fitting;
    }
    none.hidden = total > 0;
  }

  function refresh() {
    for (const [path, view] of byPath) view.set(draft.get(path));
    adapter.refresh();
    count();
  }

  /** How many of a group somebody has set. */
  function count() {
    for (const group of groups) {
      const number = group.items.filter((item) => draft.get(item.element.dataset.path) !== undefined).length;
      group.count.textContent = number ? String(number) : "";
      group.count.hidden = number === 0;
    }
  }

  refresh();
  return {
    basic,
    all: h("div", { class: "stack tight" }, h("label", { class: "visually-hidden", for: searchId }, "Search all settings"), search, none, groups.map((group) => group.details)),
    views: [...byPath.values()],
    refresh, count,
    reveal(path) {
      const group = groups.find((one) => one.items.some((item) => item.element.dataset.path === path));
      if (group) group.details.open = true;
    },
  };
}

function adapterSwitch(draft, { onShow, onOff }) {
  const box = h("input", { type: "checkbox", onchange: () => {
    if (box.checked) draft.set("adapter.type", "lora");
    else onOff();
    onShow(box.checked);
  } });
  return {
    element: h("label", { class: "check" }, box, "Train few weights beside the model's own, which stay as they are"),
    refresh() {
      box.checked = draft.get("adapter.type") !== undefined || Object.keys(draft.body().adapter ?? {}).length > 0;
      onShow(box.checked);
    },
  };
}
