/** Try it: a model is chosen, and asked by hand. */

import { get } from "../api.js";
import { emptyState } from "../components/empty.js";
import { h, replace, uniqueId } from "../dom.js";
import { modelName } from "../jobs/words.js";
import { href, rememberQuery } from "../router.js";
import { tryPanel } from "../try/panel.js";
import { childOf } from "../visible.js";

export { tryPanel };

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { query, signal }) {
  const { data } = await get("/models", { limit: 100 }, signal);
  const models = data.filter((model) => model.kind === "fine-tuned");
  const asked = query.get("model") ?? models[0]?.id ?? null;
  root.append(h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("h1", { tabindex: "-1" }, "Try it"),
    h("p", { class: "lead" }, "Ask a fine-tuned model, and see what it says."))));
  if (asked === null) {
    root.append(h("div", { class: "card" }, emptyState({ title: "No fine-tuned model yet", text: "A job makes one; it can be asked here as soon as the job has succeeded.",
      action: h("a", { class: "button primary", href: href("/new") }, "New job") })));
    root.dataset.ready = "true";
    return;
  }
  const id = uniqueId("model");
  const select = h("select", { class: "select", id, onchange: () => {
    rememberQuery({ model: select.value });
    show(select.value);
  } },
    models.some((model) => model.id === asked) ? null : h("option", { value: asked }, asked),
    models.map((model) => h("option", { value: model.id }, [modelName(model.id), model.task, model.base_model && modelName(model.base_model)].filter(Boolean).join(" · "))));
  select.value = asked;
  const place = h("div");
  let shown = null;
  function show(model) {
    shown?.abort();
    shown = childOf(signal);
    replace(place, tryPanel({ model, signal: shown.signal }));
  }
  root.append(h("div", { class: "stack" }, h("div", { class: "field model-choice" }, h("label", { for: id }, "Model"), select), place));
  show(asked);
  root.dataset.ready = "true";
}
