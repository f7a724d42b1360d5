/** Which model to begin from: one that the server has, or one of the Hub. */

import { get } from "../api.js";
import { h, uniqueId } from "../dom.js";
import { modelName } from "../jobs/words.js";
import { fieldShell } from "../spec/field.js";

const MOST_BUTTONS = 6;

/**
 * @param {{draft: *, signal: AbortSignal}} options
 * @returns {Promise<{element: HTMLElement, views: import("../spec/field.js").FieldView[], refresh: () => void}>}
 */
export async function modelSection({ draft, signal }) {
  const { data: models } = await get("/models", { limit: 100 }, signal);
  const listId = uniqueId("models");
  const input = h("input", { class: "input", type: "text", list: listId, autocomplete: "off", spellcheck: "false", placeholder: "such as google-bert/bert-base-uncased",
    oninput: () => choose(input.value.trim()) });
  const view = fieldShell({ path: "model", label: "Base model", input, description: "A model registered here, one that was fine-tuned before, or an id of the Hugging Face Hub." });
  const listed = [...models.filter((model) => model.kind === "registered"), ...models.filter((model) => model.kind !== "registered")].slice(0, MOST_BUTTONS);
  const buttons = listed.map((model) => h("button", { type: "button", class: "button small choice", "aria-pressed": "false", title: model.id, dataset: { model: model.id },
    onclick: () => {
      input.value = model.id;
      choose(model.id);
    } }, modelName(model.id), model.kind === "fine-tuned" ? h("span", { class: "muted" }, "fine-tuned") : null));

  function choose(id) {
    draft.set("model", id === "" ? undefined : id);
    mark();
  }

  function mark() {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.model === draft.get("model")));
  }

  function refresh() {
    input.value = draft.get("model") ?? "";
    mark();
  }

  if (draft.get("model") === undefined && models.filter((model) => model.kind === "registered").length === 1) choose(models.find((model) => model.kind === "registered").id);
  refresh();
  const element = h("div", { class: "stack tight" }, view.element,
    buttons.length ? h("div", { class: "row", role: "group", "aria-label": "Models on this server" }, buttons) : null,
    h("datalist", { id: listId }, models.map((model) => h("option", { value: model.id }))));
  return { element, views: [view], refresh };
}
