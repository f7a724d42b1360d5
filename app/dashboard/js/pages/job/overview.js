/** The first part of a job's page: what came of it, and its curves. */

import { currentKey } from "../../key.js";
import { download, get, path } from "../../api.js";
import { curvesPanel } from "../../charts/curves.js";
import { icon } from "../../components/icons.js";
import { toastProblem } from "../../components/problem.js";
import { facts, table } from "../../components/table.js";
import { h, patch } from "../../dom.js";
import { count, duration, figure, shortId } from "../../format.js";
import { hasEnded, jobName, stepWord } from "../../jobs/words.js";
import { ROUTES } from "../../routes.js";
import { href, match, rememberQuery } from "../../router.js";

const BASELINES = { majority_baseline: "Always the most frequent", mean_baseline: "Always the mean", no_answer_baseline: "Never an answer",
  first_sentence_baseline: "Always the first sentence", unigram_baseline: "By frequency of tokens" };
const OFFERED = 50;

/**
 * @param {HTMLElement} panel
 * @param {import("../../jobs/feed.js").JobFeed} feed
 * @param {AbortSignal} signal
 * @param {URLSearchParams} query `with`: ids of other jobs whose curves are drawn too
 */
export function buildOverview(panel, feed, signal, query) {
  const outcome = h("div");
  const update = (job) => patch(outcome, [job.status, job.report, job.metrics.best, job.model, job.result_files, job.timings, currentKey() === null], () => outcomeCard(job));
  feed.onJob(update);
  update(feed.job);
  panel.append(outcome);
  if (feed.job.kind === "training") panel.append(curves(feed, signal, query));
}

function outcomeCard(job) {
  const timings = timingFacts(job);
  const [measured, told, links] = [scores(job), numbers(job), [modelLinks(job), fileLinks(job)].filter(Boolean)];
  if (!measured && !told && !links.length && !timings.length) return null;
  return h("section", { class: "card", "aria-label": "Result" }, measured,
    told || links.length || timings.length ? h("div", { class: "card-body stack" }, told, links, timings.length ? timingDetails(job, timings) : null) : null);
}

function timingDetails(job, timings) {
  return h("details", null, h("summary", { class: "muted small" }, `Took ${duration(job.timings.run_seconds ?? job.timings.training_seconds)}; where the time went`),
    h("div", { style: { "margin-top": "8px" } }, facts(timings)));
}

/** What was measured of each split, and what a guess would score, metric by metric. */
function scores(job) {
  const report = job.report ?? {};
  const rows = [];
  if (report.metrics) {
    rows.push({ name: "Validation", metrics: report.metrics });
    if (report.test?.metrics) rows.push({ name: "Test", metrics: report.test.metrics });
    for (const [key, words] of Object.entries(BASELINES)) if (report[key]) rows.push({ name: words, metrics: report[key], isGuess: true });
  } else if (job.metrics.best) {
    const best = Object.entries(job.metrics.best).filter(([name]) => name.startsWith("eval/")).map(([name, value]) => [name.replace("eval/", ""), value]);
    rows.push({ name: `Best so far, step ${count(job.metrics.best.step)}`, metrics: Object.fromEntries(best) });
  }
  if (!rows.length) return null;
  const names = Object.keys(rows[0].metrics);
  return table({ label: "Scores", rows: rows.filter((row) => names.some((name) => name in row.metrics)), columns: [
    { label: "Split", isHeader: true, cell: (row) => (row.isGuess ? h("span", { class: "muted" }, row.name) : row.name) },
    ...names.map((name) => ({ label: name, numeric: true, cell: (row) => h("span", { title: String(row.metrics[name] ?? "") }, figure(row.metrics[name])) })),
  ] });
}

/** Jobs that do not train report a few numbers. */
function numbers(job) {
  if (job.kind === "training" || !job.report) return null;
  const plain = Object.entries(job.report).filter(([, value]) => ["number", "string"].includes(typeof value));
  return h("div", { class: "stats" }, plain.map(([name, value]) => h("div", { class: "stat" },
    h("div", { class: "name" }, name.replace(/^num_/, "").replaceAll("_", " ")), h("div", { class: "value" }, typeof value === "number" ? figure(value) : value))));
}

function modelLinks(job) {
  if (!job.model) return null;
  const { id } = job.model;
  const fetchModel = () => download(path`/models/${id}/download`, `${jobName(job)}.zip`).catch(toastProblem);
  return h("div", { class: "stack tight" },
    h("div", null, h("span", { class: "muted" }, "Model "), match(ROUTES, "/models/x") ? h("a", { href: href(path`/models/${id}`) }, h("code", null, id)) : h("code", null, id)),
    h("div", { class: "row" },
      match(ROUTES, "/try") ? h("a", { class: "button primary", href: href("/try", { model: id }) }, icon("chat"), "Try it") : null,
      h("button", { type: "button", class: "button", onclick: fetchModel }, icon("down"), "Download"),
      match(ROUTES, "/new") ? h("a", { class: "button", href: href("/new", { model: id }) }, icon("plus"), "Train on from it") : null));
}

function fileLinks(job) {
  if (!job.result_files.length) return null;
  const isTraining = job.kind === "training"; // its file has the metrics of its steps
  return h("div", { class: "row" }, job.result_files.map((id) =>
    h("button", { type: "button", class: "button", onclick: () => download(path`/files/${id}/content`, isTraining ? `${job.id}-steps.csv` : id).catch(toastProblem) },
      icon("down"), isTraining ? "Metrics as CSV" : `Download ${shortId(id)}`)));
}

function timingFacts(job) {
  if (!hasEnded(job)) return [];
  const words = (name) => name.replace("_seconds", "").replaceAll("_", " ");
  const pairs = Object.entries(job.timings).filter(([name]) => name.endsWith("_seconds")).map(([name, seconds]) => [words(name), duration(seconds)]);
  return job.progress.max_steps && pairs.length ? [...pairs, [stepWord(job), count(job.progress.step)]] : pairs;
}

/** The curves of this job; those of others are laid over them where the user wants to compare. */
function curves(feed, signal, query) {
  const own = { id: feed.job.id, name: jobName(feed.job), isLive: () => !hasEnded(feed.job) };
  const panel = curvesPanel({ runs: [own], signal });
  const overlaid = new Set((query.get("with") ?? "").split(",").filter(Boolean));
  const choice = h("select", { class: "select", "aria-label": "Overlay the curves of another job", onfocus: fill, onpointerdown: fill, onchange: choose },
    h("option", { value: "" }, "Overlay another job …"));
  let isFilled = false;

  async function fill() {
    if (isFilled) return;
    isFilled = true;
    try {
      const page = await get("/jobs", { kind: "training", limit: OFFERED }, signal);
      const others = page.data.filter((job) => job.id !== own.id && job.started_at);
      choice.append(...others.map((job) => h("option", { value: job.id }, `${jobName(job)} · ${shortId(job.id)} · ${job.status}`)));
      if (!others.length) choice.append(h("option", { value: "", disabled: true }, "There is no other job that has begun"));
    } catch (error) {
      isFilled = false;
      if (!signal.aborted) toastProblem(error);
    }
  }

  async function overlay(id) {
    if (panel.feeds.has(id)) return;
    let job = await get(path`/jobs/${id}`, {}, signal);
    const refresh = setInterval(async () => {
      if (hasEnded(job)) clearInterval(refresh);
      else if (!document.hidden) job = await get(path`/jobs/${id}`, {}, signal).catch(() => job);
    }, 5000);
    signal.addEventListener("abort", () => clearInterval(refresh));
    panel.add({ id, name: `${jobName(job)} ${shortId(id).slice(-4)}`, isLive: () => !hasEnded(job) });
  }

  function choose() {
    if (!choice.value) return;
    overlaid.add(choice.value);
    rememberQuery({ with: [...overlaid].join(",") });
    overlay(choice.value).catch(toastProblem);
    choice.value = "";
  }

  for (const id of overlaid) overlay(id).catch(toastProblem);
  return h("section", { class: "stack", "aria-label": "Curves" }, h("div", { class: "row spread" }, h("h2", null, "Curves"), choice), panel.element);
}
