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
  return [...Object.entries(splits).map(([name, split]) => splitSection(name, split)), remainder(null, rest)];
}

function splitSection(name, split) {
  const { num_rows: rows, label_counts: labels, text_chars: lengths, tokens, label_shares: _shares, ...rest } = split;
  return h("section", { class: "stack tight", "aria-label": `Split ${name}` }, h("h2", null, name),
    h("div", { class: "columns" },
      h("div", { class: "card" }, h("div", { class: "card-head" }, h("h3", null, "Rows")), h("div", { class: "card-body" }, facts([["rows", count(rows)], ...plain(rest)]))),
      labels ? labelCard(name, labels) : null,
      Object.entries(lengths ?? {}).map(([column, about]) => lengthCard(`Length of ${column}`, about, "characters")),
      tokens?.histogram ? lengthCard("Inputs as the model reads them", tokens, "tokens") : null),
    remainder(name, Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && typeof value === "object"))));
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

function lengthCard(title, about, unit) {
  const { histogram: counts = [], mean, max, ...rest } = about;
  return h("div", { class: "card" }, h("div", { class: "card-head" }, h("h3", null, title), h("span", { class: "muted small" }, `mean ${figure(mean)}, longest ${count(max)} ${unit}`)),
    h("div", { class: "card-body stack tight" }, histogram(counts, unit), plain(rest).length ? facts(plain(rest)) : null));
}

/** @param {number[]} counts @param {string} unit */
function histogram(counts, unit) {
  const end = Math.max(counts.findLastIndex((number) => number > 0) + 1, 4);
  const shown = counts.slice(0, end);
  const most = Math.max(...shown, 1);
  const edge = (i) => (i === 0 ? 0 : FIRST_BUCKET * 2 ** (i - 1));
  const words = shown.map((number, i) => `${edge(i)} to ${i === counts.length - 1 ? "more" : edge(i + 1) - 1}: ${number}`).join("; ");
  return [
    h("div", { class: "histogram", role: "img", "aria-label": `Number of texts by ${unit}. ${words}` },
      shown.map((number, i) => h("span", { style: { "--part": (number / most).toFixed(4) }, title: `${edge(i)} to ${i === counts.length - 1 ? "…" : edge(i + 1) - 1} ${unit}: ${count(number)} texts` }))),
    h("div", { class: "histogram-axis", "aria-hidden": "true" }, shown.map((_, i) => h("span", null, String(edge(i)))), h("span", null, `${edge(shown.length)}`)),
  ];
}

/** Whatever else there is: objects as names with values, lists of objects as tables. */
function remainder(title, values) {
  return Object.entries(values).filter(([, value]) => !(Array.isArray(value) && value.length === 0)).map(([name, value]) =>
    h("div", { class: "card" }, h("div", { class: "card-head" }, h("h3", null, [title, name.replace(/^num_/, "").replaceAll("_", " ")].filter(Boolean).join(": "))), h("div", { class: "card-body" }, shown(name, value))));
}

function shown(name, value) {
  if (Array.isArray(value)) {
    if (typeof value[0] !== "object") return value.map(String).join(", ");
    return table({ label: name, rows: value, columns: Object.keys(value[0]).map((key, i) => ({ label: key.replaceAll("_", " "), isHeader: i === 0, cell: (row) => words(row[key]) })) });
  }
  if (value === null || typeof value !== "object") return words(value);
  return facts(Object.entries(value).map(([key, each]) => [key.replaceAll("_", " "), each !== null && typeof each === "object" ? shown(key, each) : words(each)]));
}

function words(value) {
  if (typeof value === "number") return figure(value);
  return Array.isArray(value) ? value.map(String).join(", ") : value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "–");
}
