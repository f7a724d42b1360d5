/** How good it is, class by class: each split that was measured has its tables. */

import { shareBar } from "../../components/progress.js";
import { scrolled, table } from "../../components/table.js";
import { path } from "../../api.js";
import { h, patch } from "../../dom.js";
import { count, figure, percent } from "../../format.js";
import { href } from "../../router.js";

/** A table of so many classes is as much as a page can show; the matrix beyond it is left out. */
const MOST_CLASSES_OF_A_MATRIX = 40;
const MOST_OF_A_NOTE = 6;
const SHOWN = new Set(["labels", "num_examples", "per_class", "confusion_matrix", "metrics", "test"]);

/** @param {*} job @returns {boolean} */
export function hasEvaluation(job) {
  const report = job.report ?? {};
  return Boolean(job.kind === "training" && (report.per_class?.length || report.metrics));
}

/** @param {HTMLElement} panel @param {import("../../jobs/feed.js").JobFeed} feed */
export function buildEvaluation(panel, feed) {
  const update = (job) => patch(panel, [job.report, feed.hasMistakes], () => (job.report ? splitsOf(job.report, feed) : null));
  feed.onJob(update);
  update(feed.job);
}

function splitsOf(report, feed) {
  const splits = [["Validation split", report, "validation"], ...(report.test ? [["Test split", { labels: report.labels, ...report.test }, "test"]] : [])];
  return splits.map(([title, part, split]) => h("section", { class: "stack", "aria-label": title },
    h("div", null, h("h2", null, title), h("p", { class: "muted" }, `${count(part.num_examples)} examples`)),
    metricsTable(title, part), h("div", { class: "columns" }, perClass(title, part), matrix(title, part, mistakesLink(feed, split))), others(part)));
}

function metricsTable(title, part) {
  const rows = Object.entries(part.metrics ?? {});
  const notes = Object.entries(part).filter(([name, value]) => !SHOWN.has(name) && isNote(value))
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${Object.entries(value).map(([key, each]) => `${key.replaceAll("_", " ")} ${words(each)}`).join(", ")}`);
  if (!rows.length && !notes.length) return null;
  return h("div", { class: "card" }, h("div", { class: "card-body stack tight" },
    h("div", { class: "stats" }, rows.map(([name, value]) =>
      h("div", { class: "stat" }, h("div", { class: "name" }, name), h("div", { class: "value", title: String(value) }, figure(value))))),
    notes.map((note) => h("p", { class: "muted small" }, note))));
}

/** A few plain values, such as a baseline, make one line. */
function isNote(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length <= MOST_OF_A_NOTE && Object.values(value).every((each) => each === null || typeof each !== "object");
}

function perClass(title, part) {
  if (!part.per_class?.length) return null;
  const score = (name) => ({ label: name, numeric: true, cell: (row) => figure(row[name]) });
  return h("div", { class: "card" }, table({
    label: `Classes of the ${title}`,
    caption: "Every class: precision is the share of its predictions that are right, recall the share of its examples that are found.",
    rows: part.per_class,
    columns: [
      { label: "class", isHeader: true, cell: (row) => String(row.label) },
      score("precision"), score("recall"),
      { label: "f1", cell: (row) => h("div", { class: "bar-cell" }, shareBar(row.f1 ?? 0), h("span", { class: "number" }, figure(row.f1, 3))) },
      { label: "examples", numeric: true, cell: (row) => count(row.support) },
    ],
  }));
}

/** @returns {((label: string, predicted: string) => string)|null} where the examples of a cell are */
function mistakesLink(feed, split) {
  return feed.hasMistakes ? (label, predicted) => href(path`/jobs/${feed.job.id}`, { tab: "mistakes", split, label, predicted }) : null;
}

function matrix(title, part, link) {
  const cells = part.confusion_matrix;
  if (!cells?.length || cells.length > MOST_CLASSES_OF_A_MATRIX) return null;
  const labels = part.labels ?? cells.map((_, i) => String(i));
  return h("div", { class: "card" }, scrolled(`Confusion matrix of the ${title}`, h("table", { class: "matrix", style: { padding: "8px" } },
    h("caption", { class: "visually-hidden" }, `Confusion matrix of the ${title}: rows are the true classes, columns the predicted ones`),
    h("thead", null,
      h("tr", null, h("td", null), h("th", { colspan: cells.length, scope: "colgroup" }, "predicted")),
      h("tr", null, h("th", { scope: "col" }, "true"), labels.map((label) => h("th", { scope: "col", title: label }, label)))),
    h("tbody", null, cells.map((row, i) => {
      const total = row.reduce((sum, number) => sum + number, 0);
      return h("tr", null, h("th", { scope: "row", title: labels[i] }, labels[i]), row.map((number, j) => {
        const part = total ? number / total : 0;
        return h("td", { class: i === j ? "hit" : "miss", style: { "--heat": part.toFixed(3) }, title: `${percent(part, 1)} of ${labels[i]} predicted as ${labels[j]}` },
          link && i !== j && number ? h("a", { href: link(labels[i], labels[j]) }, count(number)) : count(number));
      }));
    })))));
}

/** What reports of other problems have besides: ranges, baselines, answers that are wrong. Numbers as facts, rows as tables. */
function others(part) {
  return h("div", { class: "columns" }, Object.entries(part).filter(([name, value]) => !SHOWN.has(name) && !isNote(value) && value !== null && typeof value === "object").map(([name, value]) => {
    const title = name.replaceAll("_", " ");
    if (Array.isArray(value) && value.length && typeof value[0] === "object") {
      return h("div", { class: "card" }, h("div", { class: "card-head" }, h("h3", null, title)), table({ label: title, rows: value,
        columns: Object.keys(value[0]).map((key, i) => ({ label: key.replaceAll("_", " "), isHeader: i === 0, cell: (row) => words(row[key]) })) }));
    }
    const pairs = Object.entries(value).slice(0, 50);
    return pairs.length ? h("div", { class: "card" }, h("div", { class: "card-head" }, h("h3", null, title)),
      table({ label: title, rows: pairs, columns: [{ label: "what", isHeader: true, cell: ([key]) => key.replaceAll("_", " ") }, { label: "value", numeric: true, cell: ([, each]) => words(each) }] })) : null;
  }));
}

function words(value) {
  if (typeof value === "number") return figure(value);
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "–");
}
