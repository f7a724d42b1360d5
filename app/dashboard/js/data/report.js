/** What a newcomer should know of a file's rows: labels, lengths, duplicates, contradictions. */

import { notice } from "../components/problem.js";
import { shareBar } from "../components/progress.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { count, figure, percent } from "../format.js";

const MOST_LABELS = 12;

/**
 * The facts of a file, by what the server tells of it: a report where it makes one, else the profile of its rows.
 * @param {*} file as `GET /files/{file_id}` answers
 * @returns {*} one split of a job's `data_report`
 */
export function factsOf(file) {
  return file.data_report ?? { num_rows: file.num_rows, num_exact_duplicates: file.profile?.num_exact_duplicates ?? 0 };
}

/** @param {*} facts @param {{warnings?: {code: string, message: string}[]}} [options] @returns {HTMLElement} */
export function splitReport(facts, { warnings = [] } = {}) {
  return h("div", { class: "stack" },
    warnings.length ? h("div", { class: "stack tight report-warnings" }, warnings.map((one) => notice("warn", one.message))) : null,
    h("div", { class: "stats" }, numbers(facts)),
    h("div", { class: "columns" }, labels(facts), lengths(facts)),
    conflicts(facts));
}

function numbers(facts) {
  const rows = [
    ["Rows", count(facts.num_rows)],
    ["Same rows twice", count(facts.num_exact_duplicates)],
    ["Repeated texts", facts.num_repeated_inputs === undefined ? null : count(facts.num_repeated_inputs)],
    ["Contradictions", facts.num_conflicting_inputs === undefined ? null : count(facts.num_conflicting_inputs)],
    ["Empty texts", facts.num_empty_texts === undefined ? null : count(facts.num_empty_texts)],
    ["Without a label", facts.num_without_labels === undefined ? null : count(facts.num_without_labels)],
    ["Without an answer", facts.num_without_answer === undefined ? null : count(facts.num_without_answer)],
  ];
  return rows.filter(([, value]) => value !== null).map(([name, value]) => h("div", { class: "stat" }, h("div", { class: "name" }, name), h("div", { class: "value" }, value)));
}

function labels(facts) {
  if (facts.label_range) {
    const { min, max, mean } = facts.label_range;
    return h("div", null, h("h3", null, "Labels"), h("p", null, `Numbers from ${figure(min)} to ${figure(max)}, ${figure(mean)} in the mean`));
  }
  const all = Object.entries(facts.label_counts ?? {}).sort((a, b) => b[1] - a[1]);
  if (all.length === 0) return null;
  const total = all.reduce((sum, [, number]) => sum + number, 0);
  const most = Math.max(1, all[0][1]);
  const bar = ([name, number]) => h("li", null,
    h("span", { class: "clip", title: name }, name),
    shareBar(number / most),
    h("span", { class: "number muted" }, `${count(number)} · ${percent(number / Math.max(1, total))}`));
  const rest = all.slice(MOST_LABELS);
  return h("div", null, h("h3", null, `${count(all.length)} labels`), h("ul", { class: "bars plain" }, all.slice(0, MOST_LABELS).map(bar)),
    rest.length ? h("details", null, h("summary", null, `${count(rest.length)} more`), h("ul", { class: "bars plain" }, rest.slice(0, 200).map(bar))) : null);
}

function lengths(facts) {
  const columns = Object.entries(facts.text_chars ?? {});
  if (columns.length === 0) return null;
  return h("div", { class: "stack tight" }, h("h3", null, "Lengths of texts"), columns.map(([name, { mean, max, histogram: all }]) => {
    const histogram = all.slice(0, Math.max(4, all.findLastIndex((number) => number > 0) + 2));
    const isCut = histogram.length < all.length;
    const top = Math.max(1, ...histogram);
    const words = `${name}: ${figure(mean, 3)} characters in the mean, ${count(max)} at most`;
    return h("figure", null, h("figcaption", { class: "small" }, words),
      h("div", { class: "histogram", role: "img", "aria-label": `${words}. ${histogram.map((number, i) => `${range(i, all.length)}: ${number}`).join(", ")}` },
        histogram.map((number, i) => h("span", { style: { "--part": number / top }, title: `${range(i, all.length)} characters: ${count(number)} texts` }))),
      h("div", { class: "histogram-axis", "aria-hidden": "true" }, h("span", null, "0"), h("span", null, isCut ? count(16 * 2 ** (histogram.length - 1)) : `${count(16 * 2 ** Math.max(0, all.length - 2))}+`)));
  }));
}

function range(i, number) {
  const from = i === 0 ? 0 : 16 * 2 ** (i - 1);
  return i === number - 1 ? `${from} and more` : `${from} to ${16 * 2 ** i - 1}`;
}

function conflicts(facts) {
  if (!facts.conflicts?.length) return null;
  return h("div", null, h("h3", null, "The same text with different labels"), table({
    label: "Contradictions", rows: facts.conflicts, columns: [
      { label: "Text", isHeader: true, cell: (one) => [one.text, one.text_pair ? h("div", { class: "muted" }, one.text_pair) : null] },
      { label: "Rows", cell: (one) => one.rows.map((row, i) => `${row}: ${one.labels[i]}`).join(", ") },
    ],
  }));
}

/** The columns of a file, and what they hold. @param {*} profile @returns {HTMLElement} */
export function columnsTable(profile) {
  return table({ label: "Columns", rows: profile.columns, columns: [
    { label: "Column", isHeader: true, cell: (column) => h("code", null, column.name) },
    { label: "Holds", cell: (column) => Object.entries(column.kinds).map(([kind, { count: number }]) => (number === profile.num_rows ? kind : `${kind} (${count(number)})`)).join(", ") },
    { label: "Different values", numeric: true, cell: (column) => (column.values ? count(column.values.length) : "many") },
    { label: "Longest", numeric: true, cell: (column) => (column.kinds.string ? `${count(column.max_chars)} characters` : "") },
    { label: "Empty", numeric: true, cell: (column) => (column.num_empty ? count(column.num_empty) : "") },
  ] });
}
