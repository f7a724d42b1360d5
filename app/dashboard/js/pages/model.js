/** One model: what it is, how good it is, its card and its files; and a place to ask it. */

import { get, path } from "../api.js";
import { copyButton } from "../components/code.js";
import { statusBadge, tag } from "../components/status.js";
import { facts, table } from "../components/table.js";
import { tabs } from "../components/tabs.js";
import { h } from "../dom.js";
import { bytes, count, figure, time } from "../format.js";
import { modelName } from "../jobs/words.js";
import { modelActions } from "../models/actions.js";
import { markdown } from "../models/markdown.js";
import { href, rememberQuery, setTitle } from "../router.js";
import { tryPanel } from "../try/panel.js";

const SHOWN_LABELS = 60;

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { params, query, signal }) {
  const model = await get(path`/models/${params.id}`, {}, signal);
  setTitle(modelName(model.id));
  const isTuned = model.kind === "fine-tuned";
  const view = tabs({
    label: "Model", signal, selected: query.get("tab"), onSelect: (tab) => rememberQuery({ tab }),
    tabs: [
      { id: "overview", label: "Overview", build: (panel) => panel.append(overview(model)) },
      { id: "try", label: "Try it", isHidden: !isTuned, build: (panel, its) => panel.append(tryPanel({ model: model.id, signal: its })) },
      { id: "card", label: "Card", isHidden: !model.card, build: (panel) => panel.append(h("div", { class: "card" }, h("div", { class: "card-body" }, markdown(model.card)))) },
      { id: "files", label: "Files", build: (panel) => panel.append(h("div", { class: "card" }, files(model))) },
      { id: "config", label: "Configuration", build: (panel) => panel.append(h("div", { class: "card" }, h("div", { class: "card-body" }, configuration(model)))) },
    ],
  });
  view.count("files", model.files.length);
  root.append(
    h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("p", { class: "small" }, h("a", { href: href("/models") }, "Models")),
      h("h1", { tabindex: "-1" }, modelName(model.id)),
      h("p", { class: "lead row" }, statusBadge(isTuned ? "ok" : "idle", model.kind), model.task ? tag(model.task) : null, h("span", null, bytes(model.size_bytes)), time(model.created_at))),
    modelActions(model, { signal })),
    view.element,
  );
  root.dataset.ready = "true";
}

function overview(model) {
  return h("div", { class: "stack" },
    section("Metrics", metrics(model)),
    section("Details", facts([
      ["Id", h("span", { class: "id-row" }, h("code", null, model.id), copyButton(() => model.id, "Copy the id"))],
      ["Made from", model.base_model ? link(model.base_model) : null],
      ["Made by", model.job_id ? h("a", { href: href(path`/jobs/${model.job_id}`) }, model.job_id) : null],
      ["Labels", model.labels ? h("span", { class: "row" }, model.labels.slice(0, SHOWN_LABELS).map((name) => tag(name)), model.labels.length > SHOWN_LABELS ? `and ${count(model.labels.length - SHOWN_LABELS)} more` : null) : null],
      ["Size", bytes(model.size_bytes)],
      ["SHA-256 of its weights", h("code", null, model.weights_sha256)],
      ["SHA-256 of its base", model.base_sha256 ? h("code", null, model.base_sha256) : null],
    ])));
}

/** A base may be of the Hub, or deleted: its page says so. */
function link(id) {
  return h("a", { href: href(path`/models/${id}`) }, modelName(id));
}

function metrics({ metrics: all }) {
  const names = Object.keys(all ?? {}).filter((name) => typeof all[name] === "number");
  if (names.length === 0) return h("p", { class: "muted" }, "It has not been evaluated here.");
  const short = [...new Set(names.map((name) => name.replace(/^(eval|test)\//, "")))];
  const has = (split) => names.some((name) => name.startsWith(split));
  return table({ label: "Metrics", rows: short, columns: [
    { label: "Metric", isHeader: true, cell: (name) => name },
    ...(has("eval/") ? [{ label: "Validation", numeric: true, cell: (name) => figure(all[`eval/${name}`]) }] : []),
    ...(has("test/") ? [{ label: "Test", numeric: true, cell: (name) => figure(all[`test/${name}`]) }] : []),
  ] });
}

function files(model) {
  return table({ label: "Files", rows: model.files, columns: [
    { label: "File", isHeader: true, cell: (file) => h("code", null, file.name) },
    { label: "Size", numeric: true, cell: (file) => bytes(file.size_bytes) },
    { label: "SHA-256", cell: (file) => h("span", { class: "id-row" }, h("code", { class: "clip hash", title: file.sha256 }, file.sha256), copyButton(() => file.sha256, `Copy the hash of ${file.name}`)) },
  ] });
}

function configuration(model) {
  return facts(Object.entries(model.config).map(([name, value]) => [name, h("code", null, typeof value === "string" ? value : JSON.stringify(value))]));
}

function section(title, content) {
  return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, title)), h("div", { class: "card-body" }, content));
}
