/** One sweep, live: its best trial, what the trials tell, and each of them with its job. */

import { get, path, post, remove } from "../api.js";
import { confirmDialog, openDialog } from "../components/dialog.js";
import { icon } from "../components/icons.js";
import { notice, toastProblem } from "../components/problem.js";
import { progressBar } from "../components/progress.js";
import { statusBadge } from "../components/status.js";
import { facts, table } from "../components/table.js";
import { toast } from "../components/toast.js";
import { h, patch } from "../dom.js";
import { count, figure, shortId, time } from "../format.js";
import { resultsChoice } from "../jobs/results-choice.js";
import { poll } from "../live.js";
import { go, href, setTitle } from "../router.js";
import { sweepCharts } from "../sweeps/charts.js";
import { hasEnded, isMinimized, numDone, paramWords, shortField, standing, sweepName } from "../sweeps/words.js";

const PAGE = 1000;
const LIVE_SECONDS = 3;
const COMPARED = 5;

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { params, signal }) {
  let sweep = await get(path`/sweeps/${params.id}`, {}, signal);
  setTitle(sweepName(sweep));
  const state = h("p", { class: "lead row" });
  const actions = h("div", { class: "row" });
  const bar = progressBar("Trials that are over");
  const best = h("div");
  const trials = h("div", { class: "card" });
  const charts = sweepCharts(sweep, { signal });
  root.append(
    h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("p", { class: "small" }, h("a", { href: href("/sweeps") }, "Sweeps")), h("h1", { tabindex: "-1" }, sweepName(sweep)), state), actions),
    h("div", { class: "stack" }, bar.element, best, charts.element, trials));

  async function allTrials() {
    const found = [];
    for (let after = null; ;) {
      const page = await get(path`/sweeps/${params.id}/trials`, { after, limit: PAGE }, signal);
      found.push(...page.data);
      if (!page.has_more) return found;
      after = page.last_number;
    }
  }

  async function refresh() {
    sweep = await get(path`/sweeps/${params.id}`, {}, signal);
    const found = await allTrials();
    draw(found);
    charts.draw(sweep, found);
    return hasEnded(sweep) ? null : LIVE_SECONDS;
  }

  function draw(found) {
    patch(state, [sweep.status, sweep.counts], () => [statusBadge(sweep.status), h("span", null, standing(sweep)), time(sweep.created_at)]);
    bar.element.hidden = hasEnded(sweep);
    bar.update(numDone(sweep) / Math.max(1, sweep.counts.total));
    patch(actions, [sweep.status, sweep.request], () => buttons(found));
    patch(best, [sweep.best, sweep.error], () => [sweep.error ? notice("bad", sweep.error.message, sweep.error.hint ? h("p", null, sweep.error.hint) : null) : null, sweep.best ? bestCard() : null]);
    patch(trials, found.map((trial) => [trial.number, trial.state, trial.value, trial.job_status, trial.intermediate_values.length]), () => trialTable(found));
  }

  function buttons(found) {
    const top = found.filter((trial) => trial.value !== null && trial.job_id).sort((a, b) => (isMinimized(sweep) ? a.value - b.value : b.value - a.value)).slice(0, COMPARED);
    return [
      top.length > 1 ? h("a", { class: "button", href: href("/compare", { jobs: top.map((trial) => trial.job_id).join(",") }) }, icon("compare"), `Compare the best ${top.length}`) : null,
      hasEnded(sweep) || sweep.request ? null : h("button", { type: "button", class: "button danger", onclick: cancel }, icon("cross"), "Cancel"),
      hasEnded(sweep) ? h("button", { type: "button", class: "button danger", onclick: drop }, icon("trash"), "Delete") : null,
    ];
  }

  async function drop() {
    const choice = resultsChoice("the models of its trials");
    const text = "Its trials and their jobs, with metrics, events and logs, are removed from the server.";
    if (!(await openDialog({ title: `Delete ${sweepName(sweep)}?`, body: [h("p", null, text), choice.element], confirm: "Delete the sweep", cancel: "Keep as it is", danger: true }))) return;
    try {
      await remove(path`/sweeps/${params.id}`, undefined, { results: choice.results() });
      toast("The sweep is deleted.");
      go(href("/sweeps"));
    } catch (error) {
      toastProblem(error);
    }
  }

  async function cancel() {
    if (!(await confirmDialog({ title: "Cancel this sweep?", text: "No further trial is begun, and those under way are cancelled. The best model until now stays.", confirm: "Cancel the sweep", danger: true }))) return;
    try {
      await post(path`/sweeps/${params.id}/cancel`);
      await refresh();
    } catch (error) {
      toastProblem(error);
    }
  }

  function bestCard() {
    const { trial, job_id: job, params: chosen, value, model } = sweep.best;
    return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, "Best so far"), model ? h("div", { class: "row" },
      h("a", { class: "button primary", href: href("/try", { model }) }, icon("chat"), "Try it"), h("a", { class: "button", href: href(path`/models/${model}`) }, icon("model"), "Model")) : null),
    h("div", { class: "card-body" }, facts([[sweep.spec.metric, h("strong", null, figure(value))], ...Object.entries(chosen).map(([name, each]) => [shortField(name), h("code", null, paramWords(each))]),
      ["Trial", h("a", { href: href(path`/jobs/${job}`) }, `${trial}: ${shortId(job)}`)]])));
  }

  function trialTable(found) {
    const names = Object.keys(sweep.spec.space);
    return [h("div", { class: "card-head" }, h("h2", null, `${count(found.length)} trials`)), table({ label: "Trials", rows: [...found].reverse(), class: "hover", columns: [
      { label: "Trial", numeric: true, isHeader: true, cell: (trial) => trial.number },
      { label: "State", cell: (trial) => trialBadge(trial) },
      { label: sweep.spec.metric, numeric: true, cell: (trial) => (trial.number === sweep.best?.trial ? h("strong", { class: "best-value" }, icon("check", 13), figure(trial.value)) : figure(trial.value ?? trial.intermediate_values.at(-1)?.value)) },
      ...names.map((name) => ({ label: shortField(name), numeric: true, cell: (trial) => h("code", null, paramWords(trial.params[name])) })),
      { label: "Job", cell: (trial) => (trial.job_id ? h("a", { href: href(path`/jobs/${trial.job_id}`) }, shortId(trial.job_id)) : h("span", { class: "muted" }, trial.error?.message ?? "–")) },
    ] })];
  }

  await refresh();
  root.dataset.ready = "true";
  poll(refresh, { signal, seconds: LIVE_SECONDS });
}

function trialBadge({ state }) {
  const kind = { complete: "ok", pruned: "warn", failed: "bad", running: "running", cancelled: "cancelled" }[state] ?? "idle";
  return statusBadge(kind, state);
}
