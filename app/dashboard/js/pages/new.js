/** A new job: data, model, settings; checked while it is written, and shown as the call that it is. */

import { get, isAbort, path, post } from "../api.js";
import { callsPanel } from "../calls/panel.js";
import { jobCalls } from "../calls/job.js";
import { icon } from "../components/icons.js";
import { notice } from "../components/problem.js";
import { h } from "../dom.js";
import { currentKey } from "../key.js";
import { dataSection } from "../new/data.js";
import { jobSummary, liveCheck } from "../new/check.js";
import { modelSection } from "../new/model.js";
import { notesSection } from "../new/notes.js";
import { settingsSection } from "../new/settings.js";
import { go, href } from "../router.js";
import { draft as newDraft } from "../spec/draft.js";
import { fieldsOfSchema } from "../spec/schema.js";

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { query, signal }) {
  root.append(h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("h1", { tabindex: "-1" }, "New job"),
      h("p", { class: "lead" }, "Data and a model are enough; all else is chosen for you, and shown before you start."))));
  const fields = await fieldsOfSchema("JobSpec");
  let isBuilt = false;
  const draft = newDraft({ onChange: () => isBuilt && changed() });
  const from = query.get("from");
  if (from) draft.fill(await specOf(from, signal), fields);
  for (const [name, place] of [["train", "dataset.train"], ["model", "model"], ["task", "task"]]) if (query.get(name)) draft.set(place, query.get(name));

  const tasks = fields.find((field) => field.path === "task")?.choices ?? [];
  const settings = settingsSection({ draft, fields });
  const notes = notesSection({ draft });
  const [data, model] = await Promise.all([dataSection({ draft, tasks, signal }), modelSection({ draft, signal })]);
  const views = [...data.views, ...model.views, ...settings.views, ...notes.views];
  const calls = callsPanel({ label: "The same call", signal });
  const check = liveCheck({ path: "/jobs", missing, views: () => views, signal, onAnswer: (answer) => data.showReport(answer.spec), summary: jobSummary, reveal: settings.reveal });
  const submit = h("button", { type: "submit", class: "button primary wide" }, icon("play"), "Start the job");

  root.append(
    from ? h("div", { class: "from" }, notice("info", "Filled in from a job", h("p", null, "What was left to be chosen is chosen anew. ", h("a", { href: href(path`/jobs/${from}`) }, from)))) : "",
    h("form", { class: "new-job", novalidate: true, onsubmit: send },
      h("div", { class: "stack" }, section("Data", data.element), section("Model", model.element), section("Training", settings.basic), section("Name and notes", notes.element), section("All other settings", settings.all)),
      h("aside", { class: "new-side", "aria-label": "Check and start" }, h("div", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, "Check")), h("div", { class: "card-body stack" }, check.element, submit)),
        h("div", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, "The same call")), h("div", { class: "card-body" }, calls.element)))),
  );

  function changed() {
    const body = draft.body();
    settings.count();
    calls.show(jobCalls(body, currentKey() !== null));
    check.later(body);
  }

  let key = "";
  let keyed = "";
  async function send(event) {
    event.preventDefault();
    const body = draft.body();
    const words = missing(body);
    if (words !== null) return focusMissing(body);
    if (keyed !== JSON.stringify(body)) [key, keyed] = [randomKey(), JSON.stringify(body)]; // pressed twice, it is one job
    submit.disabled = true;
    try {
      const job = await post("/jobs", body, { headers: { "idempotency-key": key }, signal });
      go(href(path`/jobs/${job.id}`));
    } catch (error) {
      if (isAbort(error)) return;
      check.show(error);
      check.element.scrollIntoView({ block: "nearest" });
      views.find((view) => view.input.getAttribute("aria-invalid"))?.input.focus();
    } finally {
      submit.disabled = false;
    }
  }

  function focusMissing(body) {
    views.find((view) => view.element.dataset.path === (body.dataset ? "model" : "dataset.train")).input.focus();
  }

  isBuilt = true;
  changed();
  root.dataset.ready = "true";
}

function missing(body) {
  if (!body.dataset?.train && !body.dataset?.name) return "Upload or choose the data to learn from.";
  return body.model ? null : "Choose a base model.";
}

/** As it was sent; of an older server as it became. */
async function specOf(id, signal) {
  const job = await get(path`/jobs/${id}`, {}, signal);
  return job.requested_spec ?? job.spec;
}

function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function section(title, content) {
  return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, title)), h("div", { class: "card-body" }, content));
}
