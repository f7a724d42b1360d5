/** What the job learned from: labels, lengths, duplicates. Whatever else the report holds is shown as it is. */

import { shareBar } from "../../components/progress.js";
import { facts, table } from "../../components/table.js";
import { h, patch } from "../../dom.js";
import { count, figure, percent } from "../../format.js";

/** Of length histograms: [0, 16), [16, 32), [32, 64) …; the last bucket is open. */
const FIRST_BUCKET = 16;
const MOST_LABELS = 30;

/** @param {HTMLElement} panel @param {import("../../jobs/feed.js").JobFeed} feed */
export function buildData(panel, feed) {
  const update = (job) => patch(panel, job.data_report, () => (job.data_report ? reportParts(job.data_report) : null));
  feed.onJob(update);
  update(feed.job);
}

/** @param {*} report a `data_report`, of a job or of `validate_only` @returns {import("../../dom.js").Child[]} */
export function reportParts(report) {
  const { splits = {}, ...rest } = report;
  return [...Object.entries(splits).map(([name, split]) => splitSection(name, split)), remainder("More", rest)];
}

function splitSection(name, split) {
  const { num_rows: rows, label_counts: labels, text_chars: lengths, ...rest } = split;
  return h("section", { class: "stack tight", "aria-label": `Split ${name}` }, h("h2", null, name),
    h("div", { class: "columns" },
      h("div", { class: "card" }, h("div", { class: "card-head" }, h("h3", null, "Rows")), h("div", { class: "card-body" }, facts([["rows", count(rows)], ...plain(rest)]))),
      labels ? labelCard(name, labels) : null,
      Object.entries(lengths ?? {}).map(([column, about]) => lengthCard(column, about))),
    remainder(null, Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && typeof value === "object"))));
}

function plain(values) {
  return Object.entries(values).filter(([, value]) => value === null || typeof value !== "object")
    .map(([name, value]) => [name.replace(/^num_/, "").replaceAll("_", " "), typeof value === "number" ? figure(value) : String(value ?? "–")]);
}

function labelCard(split, labels) {
  const rows = Object.entries(labels).sort(([, a], [, b]) => b - a);
  const total = rows.reduce((sum, [, number]) => sum + number, 0);
  const most = rows[0]?.[1] ?? 1;
  return h("div", { class: "card" }, table({
    label: `Labels of ${split}`, caption: rows.length > MOST_LABELS ? `The ${MOST_LABELS} most frequent of ${count(rows.length)} labels` : "Labels",
    rows: rows.slice(0, MOST_LABELS),
    columns: [
      { label: "label", isHeader: true, class: "clip", cell: ([label]) => label },
      { label: "share", cell: ([, number]) => h("div", { class: "bar-cell" }, shareBar(number / (most || 1)),
        h("span", { class: "number small" }, percent(total ? number / total : 0, 1))) },
      { label: "rows", numeric: true, cell: ([, number]) => count(number) },
    ],
  }));
}

function lengthCard(column, about) {
  return h("div", { class: "card" }, h("div", { class: "card-head" }, h("h3", null, `Length of ${column}`), h("span", { class: "muted small" }, `mean ${figure(about.mean)}, longest ${count(about.max)} characters`)),
    h("div", { class: "card-body" }, histogram(about.histogram ?? [])));
}

/** @param {number[]} counts */
function histogram(counts) {
  const end = Math.max(counts.findLastIndex((number) => number > 0) + 1, 4);
  const shown = counts.slice(0, end);
  const most = Math.max(...shown, 1);
  const edge = (i) => (i === 0 ? 0 : FIRST_BUCKET * 2 ** (i - 1));
  const words = shown.map((number, i) => `${edge(i)} to ${i === counts.length - 1 ? "more" : edge(i + 1) - 1}: ${number}`).join("; ");
  return [
    h("div", { class: "histogram", role: "img", "aria-label": `Texts by characters. ${words}` },
      shown.map((number, i) => h("span", { style: { "--part": (number / most).toFixed(4) }, title: `${edge(i)} to ${i === counts.length - 1 ? "…" : edge(i + 1) - 1} characters: ${count(number)} texts` }))),
    h("div", { class: "histogram-axis", "aria-hidden": "true" }, shown.map((_, i) => h("span", null, String(edge(i)))), h("span", null, `${edge(shown.length)}`)),
  ];
}

function remainder(title, values) {
  const entries = Object.entries(values);
  if (!entries.length) return null;
  return entries.map(([name, value]) => h("div", { class: "card" }, h("div", { class: "card-head" }, h("h3", null, [title, name.replaceAll("_", " ")].filter(Boolean).pop())),
    h("div", { class: "card-body" }, value !== null && typeof value === "object" && !Array.isArray(value)
      ? facts(Object.entries(value).map(([key, each]) => [key.replaceAll("_", " "), each !== null && typeof each === "object" ? h("code", null, JSON.stringify(each)) : typeof each === "number" ? figure(each) : String(each)]))
      : h("code", null, JSON.stringify(value)))));
}
