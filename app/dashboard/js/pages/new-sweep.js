/** A new sweep: a job as always, and what is varied in it. */

import { isAbort, path, post } from "../api.js";
import { callsPanel } from "../calls/panel.js";
import { curl } from "../calls/shell.js";
import { icon } from "../components/icons.js";
import { facts } from "../components/table.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { currentKey } from "../key.js";
import { liveCheck } from "../new/check.js";
import { dataSection } from "../new/data.js";
import { modelSection } from "../new/model.js";
import { settingsSection } from "../new/settings.js";
import { go, href } from "../router.js";
import { draft as newDraft } from "../spec/draft.js";
import { fieldShell } from "../spec/field.js";
import { fieldsOfSchema } from "../spec/schema.js";
import { spaceRows } from "../sweeps/space.js";

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { query, signal }) {
  root.append(h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("p", { class: "small" }, h("a", { href: href("/sweeps") }, "Sweeps")), h("h1", { tabindex: "-1" }, "New sweep"),
      h("p", { class: "lead" }, "Each trial is a job with other settings; the best model is kept."))));
  const fields = await fieldsOfSchema("JobSpec");
  let isBuilt = false;
  let space = {};
  const search = {};
  const draft = newDraft({ onChange: () => isBuilt && changed() });
  if (query.get("train")) draft.set("dataset.train", query.get("train"));
  const settings = settingsSection({ draft, fields });
  const tasks = fields.find((field) => field.path === "task")?.choices ?? [];
  const [data, model] = await Promise.all([dataSection({ draft, tasks, signal }), modelSection({ draft, signal })]);
  const rows = spaceRows({ fields, onChange: (next) => {
    space = next;
    if (isBuilt) changed();
  } });
  const spaceView = { element: h("div", { class: "field", dataset: { path: "space" } }, rows.element), input: rows.input, problem: () => {}, show: () => {} };
  const own = [number("num_trials", "Trials", "20"), number("max_parallel", "At a time", "1"), choice("sampler.type", "Chosen by", ["tpe", "random", "grid"]),
    choice("pruner.type", "Given up early by", ["none", "median", "percentile", "successive_halving", "hyperband"])];
  const views = [...data.views, ...model.views, ...settings.views, ...own, spaceView];
  const calls = callsPanel({ label: "The same call", signal, languages: ["curl"] });
  const check = liveCheck({ path: "/sweeps", prefix: "job.", missing: (body) => missing(body.job), views: () => views, signal, onAnswer: (answer) => data.showReport(answer.spec.job), summary, reveal: settings.reveal });
  const submit = h("button", { type: "submit", class: "button primary wide" }, icon("sweep"), "Start the sweep");

  root.append(
    h("form", { class: "new-job", novalidate: true, onsubmit: send },
      h("div", { class: "stack" }, section("What is varied", spaceView.element), section("Search", h("div", { class: "field-grid" }, own.map((view) => view.element))), section("Data", data.element), section("Model", model.element),
        section("The same for all trials", h("div", { class: "stack" }, settings.basic, settings.all))),
      h("aside", { class: "new-side", "aria-label": "Check and start" }, h("div", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, "Check")), h("div", { class: "card-body stack" }, check.element, submit)),
        h("div", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, "The same call")), h("div", { class: "card-body" }, calls.element)))));

  function number(name, label, usual) {
    const input = h("input", { class: "input", type: "text", inputmode: "numeric", placeholder: usual, oninput: () => put(name, input.value.trim() === "" ? undefined : Number.isFinite(Number(input.value)) ? Number(input.value) : input.value) });
    return fieldShell({ path: name, label, input });
  }

  function choice(name, label, values) {
    const input = h("select", { class: "select", onchange: () => put(name, input.value || undefined) }, h("option", { value: "" }, "auto"), values.map((value) => h("option", { value }, value.replaceAll("_", " "))));
    return fieldShell({ path: name, label, input });
  }

  function put(name, value) {
    const [outer, inner] = name.split(".");
    if (value === undefined) delete search[outer];
    else search[outer] = inner ? { [inner]: value } : value;
    changed();
  }

  const body = () => ({ job: draft.body(), space, ...search });

  function changed() {
    settings.count();
    calls.show({ curl: curl("/sweeps", body(), currentKey() !== null) });
    check.later(body());
  }

  async function send(event) {
    event.preventDefault();
    if (missing(draft.body()) !== null) return views.find((view) => view.element.dataset.path === (draft.body().dataset ? "model" : "dataset.train")).input.focus();
    submit.disabled = true;
    try {
      const sweep = await post("/sweeps", body(), { signal });
      go(href(path`/sweeps/${sweep.id}`));
    } catch (error) {
      if (!isAbort(error)) check.show(error);
    } finally {
      submit.disabled = false;
    }
  }

  isBuilt = true;
  changed();
  root.dataset.ready = "true";
}

function missing(job) {
  if (!job.dataset?.train && !job.dataset?.name) return "Upload or choose the data to learn from.";
  return job.model ? null : "Choose a base model.";
}

function summary({ spec }) {
  return facts([["Trials", count(spec.num_trials)], ["Judged by", `${spec.metric}, ${spec.direction === "minimize" ? "smaller is better" : "larger is better"}`],
    ["Chosen by", spec.sampler.type], ["Given up early by", spec.pruner.type.replaceAll("_", " ")]]);
}

function section(title, content) {
  return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, title)), h("div", { class: "card-body" }, content));
}
