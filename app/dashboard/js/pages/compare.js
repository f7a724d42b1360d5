/** Runs side by side: curves over each other, scores, settings and data in which they differ. */

import { ApiError, get, path } from "../api.js";
import { lineSample } from "../charts/line-sample.js";
import { curvesPanel, lineStyle } from "../charts/curves.js";
import { runChip, runChooser } from "../compare/chooser.js";
import { scores } from "../compare/scores.js";
import { dataFacts, differences, setting } from "../compare/settings.js";
import { emptyState } from "../components/empty.js";
import { icon } from "../components/icons.js";
import { notice } from "../components/problem.js";
import { table } from "../components/table.js";
import { h, replace } from "../dom.js";
import { count, duration, figure } from "../format.js";
import { hasEnded, jobName, runSeconds } from "../jobs/words.js";
import { href, rememberQuery } from "../router.js";
import { poll } from "../live.js";
import { childOf } from "../visible.js";

const LIVE_SECONDS = 3;

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { query, signal }) {
  let ids = [...new Set((query.get("jobs") ?? "").split(",").filter(Boolean))];
  let jobs = [];
  let shown = null;
  const chips = h("ul", { class: "run-chips plain", "aria-label": "Runs" });
  const lost = h("div");
  const curves = h("div");
  const numbers = h("div", { class: "stack" });
  const chooser = runChooser({ signal, onAdd: (id) => choose([...ids, id]) });
  root.append(h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("h1", { tabindex: "-1" }, "Compare"),
    h("p", { class: "lead" }, "Curves, scores and settings of several runs. The address can be sent to others.")), chooser.element),
  h("div", { class: "stack" }, chips, lost, numbers, curves));

  async function choose(next) {
    ids = next;
    rememberQuery({ jobs: ids.join(",") || null });
    await show();
  }

  async function show() {
    shown?.abort();
    const mine = (shown = childOf(signal));
    const found = await Promise.all(ids.map((id) => get(path`/jobs/${id}`, {}, mine.signal).catch((error) => {
      if (error instanceof ApiError && (error.status === 404 || error.status === 422)) return null;
      throw error;
    })));
    jobs = found.filter((job) => job !== null);
    const missing = ids.filter((_, i) => found[i] === null);
    replace(lost, missing.length ? notice("warn", missing.length === 1 ? "One of the jobs is not there" : `${missing.length} of the jobs are not there`, h("p", null, missing.join(", "))) : null);
    chooser.leaveOut(ids);
    replace(chips, jobs.map((job, i) => runChip(job, { href: href(path`/jobs/${job.id}`), sample: lineSample(lineStyle(i)), onRemove: () => choose(ids.filter((id) => id !== job.id)) })));
    if (jobs.length === 0) {
      replace(curves);
      replace(numbers, h("div", { class: "card" }, emptyState({ title: "Nothing to compare yet", text: "Choose runs above, or select them in the list of jobs.",
        action: h("a", { class: "button", href: href("/jobs") }, icon("jobs"), "Go to the jobs") })));
      return;
    }
    drawNumbers();
    const runs = jobs.map((job, i) => ({ id: job.id, name: runName(job), isLive: () => !hasEnded(jobs[i] ?? job) }));
    replace(curves, h("h2", { class: "section-title" }, "Curves"), curvesPanel({ runs, signal: mine.signal }).element);
    poll(refresh, { signal: mine.signal, seconds: LIVE_SECONDS });
  }

  async function refresh() {
    if (jobs.every(hasEnded)) return null;
    const own = shown.signal;
    const fresh = await Promise.all(jobs.map((job) => (hasEnded(job) ? job : get(path`/jobs/${job.id}`, {}, own))));
    if (own.aborted) return null;
    jobs = fresh;
    drawNumbers();
    return LIVE_SECONDS;
  }

  /** Names that are the same are told apart by the ends of their ids. */
  function runName(job) {
    const name = jobName(job);
    return jobs.filter((other) => jobName(other) === name).length > 1 ? `${name} …${job.id.slice(-4)}` : name;
  }

  function columns(cell, numeric = true) {
    return jobs.map((job, i) => ({ label: [lineSample(lineStyle(i)), " ", runName(job)], numeric, class: "run-cell", cell: (row) => cell(row, i) }));
  }

  function drawNumbers() {
    const data = dataFacts(jobs);
    replace(numbers,
      section("Scores", table({ label: "Scores", rows: [...scores(jobs), ...times()], columns: [
        { label: "Score", isHeader: true, cell: (row) => [row.name, row.isChosen ? h("span", { class: "tag role" }, "chooses the checkpoint") : null] },
        { label: "When", cell: (row) => h("span", { class: "muted" }, row.when) },
        ...columns((row, i) => {
          const words = row.words ? row.words[i] : figure(row.values[i]);
          return row.best === i ? h("strong", { class: "best-value" }, icon("check", 13), h("span", { class: "visually-hidden" }, "best: "), words) : words;
        })] })),
      settings(),
      data.length ? section("Data", table({ label: "Data", rows: data, columns: [{ label: "Split", isHeader: true, cell: (row) => row.name }, ...columns((row, i) => count(row.values[i]))] })) : null);
  }

  function times() {
    const seconds = jobs.map(runSeconds);
    const there = seconds.filter((one) => one !== null);
    const steps = jobs.map((job) => job.progress?.step ?? null);
    return [
      { name: "duration", when: "from start to end", words: seconds.map((one) => duration(one)), values: seconds, best: there.length > 1 && jobs.every(hasEnded) ? seconds.indexOf(Math.min(...there)) : null },
      { name: "steps", when: "until now", words: steps.map((one) => count(one)), values: steps, best: null },
    ];
  }

  function settings() {
    const rows = differences(jobs);
    if (jobs.length < 2) return null;
    if (rows.length === 0) return section("Settings", h("p", { class: "card-body muted" }, "They have the same settings."));
    return section(`Settings that differ: ${rows.length}`, table({ label: "Settings that differ", rows, class: "spec-table", columns: [
      { label: "Field", isHeader: true, cell: (row) => h("code", null, row.name) }, ...columns((row, i) => setting(row.values[i], row.values[0]), false)] }));
  }

  await show();
  root.dataset.ready = "true";
}

function section(title, content) {
  return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, title)), content);
}
