/** Models: what can be fine-tuned, and what came of it. */

import { pages, path } from "../api.js";
import { codeBlock } from "../components/code.js";
import { emptyState } from "../components/empty.js";
import { icon } from "../components/icons.js";
import { toastProblem } from "../components/problem.js";
import { table } from "../components/table.js";
import { h, patch } from "../dom.js";
import { bytes, count, figure, time } from "../format.js";
import { modelName } from "../jobs/words.js";
import { href, rememberQuery } from "../router.js";

const PAGE = 50;
const KINDS = [["", "All models"], ["fine-tuned", "Fine-tuned"], ["registered", "Registered"]];

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { query, signal }) {
  const filter = { kind: query.get("kind") ?? "", text: query.get("text") ?? "" };
  const models = [];
  let hasMore = true;
  const source = pages("/models", { limit: PAGE }, signal);
  const card = h("div", { class: "card" });
  const search = h("input", { class: "input grow", type: "search", placeholder: "Name, base model, task, label", "aria-label": "Search models by text", value: filter.text, oninput: () => change({ text: search.value.trim() }) });
  const kind = h("select", { class: "select", "aria-label": "Filter by kind", onchange: () => change({ kind: kind.value }) }, KINDS.map(([value, label]) => h("option", { value }, label)));
  kind.value = filter.kind;
  root.append(h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("h1", { tabindex: "-1" }, "Models"),
    h("p", { class: "lead" }, "Registered ones to begin from, and those that jobs have made of them."))),
  h("form", { class: "toolbar list-tools", role: "search", onsubmit: (event) => event.preventDefault() }, search, kind), card);

  function change(changes) {
    Object.assign(filter, changes);
    rememberQuery(changes);
    draw();
  }

  async function load() {
    const { value, done } = await source.next();
    if (!done) models.push(...value.data);
    hasMore = !done && value.has_more;
    draw();
  }

  function draw() {
    const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = models.filter((model) => (!filter.kind || model.kind === filter.kind) && words.every((word) => [model.id, model.base_model, model.task, ...(model.labels ?? [])].join(" ").toLowerCase().includes(word)));
    patch(card, [shown.map((model) => model.id), hasMore, models.length], () => {
      if (models.length === 0) return empty();
      return [shown.length ? table({ label: "Models", rows: shown, class: "hover", columns: COLUMNS }) : emptyState({ title: "No model fits", text: "Search for another word, or choose another kind." }),
        h("div", { class: "table-foot" }, h("span", { role: "status" }, `${count(shown.length)} of ${count(models.length)} models${hasMore ? " loaded" : ""}`),
          hasMore ? h("button", { type: "button", class: "button small", onclick: () => load().catch(toastProblem) }, "Load more") : null)];
    });
  }

  await load();
  root.dataset.ready = "true";
}

function empty() {
  return emptyState({
    title: "No model yet",
    text: "Register the folder of a transformers model to begin from it, or name a model of the Hugging Face Hub in a new job.",
    action: codeBlock("tunery models add my-encoder path/to/folder", { label: "from a terminal" }),
  });
}

const wide = (label) => h("span", { class: "wide-only" }, label);

const COLUMNS = [
  { label: "Model", isHeader: true, class: "main-cell", cell: (model) => [
    h("div", { class: "clip" }, h("a", { href: href(path`/models/${model.id}`), title: model.id }, modelName(model.id))),
    h("div", { class: "sub clip" }, model.kind === "registered" ? "registered" : `from ${modelName(model.base_model ?? "")}`)] },
  { label: wide("Task"), class: "wide-only", cell: (model) => model.task ?? h("span", { class: "muted" }, "any") },
  { label: "Metric", numeric: true, cell: (model) => metricOf(model) },
  { label: wide("Size"), numeric: true, class: "wide-only", cell: (model) => bytes(model.size_bytes) },
  { label: wide("Made"), class: "wide-only", cell: (model) => time(model.created_at) },
  { label: h("span", { class: "visually-hidden" }, "Actions"), class: "actions-cell", cell: (model) => h("div", { class: "row" }, model.kind === "fine-tuned"
    ? h("a", { class: "button small", href: href("/try", { model: model.id }), "aria-label": `Try ${modelName(model.id)}` }, icon("chat", 13), wide("Try"))
    : h("a", { class: "button small", href: href("/new", { model: model.id }), "aria-label": `Fine-tune ${modelName(model.id)}` }, icon("plus", 13), wide("Fine-tune"))) },
];

/** The one number that a list has room for: on the test data where there is some. */
function metricOf({ metrics }) {
  const names = Object.keys(metrics ?? {}).filter((name) => typeof metrics[name] === "number" && !/loss|runtime|per_second/.test(name));
  const name = [/^test\/f1$/, /^test\//, /^eval\/f1$/, /^eval\//].map((pattern) => names.find((each) => pattern.test(each))).find(Boolean);
  return name ? [h("span", { class: "muted small wide-only" }, `${name} `), figure(metrics[name])] : h("span", { class: "muted" }, "–");
}
