/** Examples that the model got wrong, the surest first. */

import { ApiError, get, path } from "../../api.js";
import { emptyState } from "../../components/empty.js";
import { toastProblem } from "../../components/problem.js";
import { table } from "../../components/table.js";
import { h, replace } from "../../dom.js";
import { count, figure } from "../../format.js";

const PAGE = 50;

/** @param {string} jobId @param {AbortSignal} signal @returns {Promise<*|null>} null: the job keeps none */
export async function firstMistakes(jobId, signal) {
  try {
    return await get(path`/jobs/${jobId}/mistakes`, { limit: PAGE }, signal);
  } catch (error) {
    if (error instanceof ApiError && [404, 409].includes(error.status)) return null;
    throw error;
  }
}

/** @param {HTMLElement} panel @param {import("../../jobs/feed.js").JobFeed} feed @param {*} first @param {AbortSignal} signal */
export function buildMistakes(panel, feed, first, signal) {
  const rows = [...first.data];
  let page = first;
  const body = h("div", { class: "stack" });
  async function more() {
    try {
      page = await get(path`/jobs/${feed.job.id}/mistakes`, { limit: PAGE, after: page.last_id }, signal);
      rows.push(...page.data);
      draw();
    } catch (error) {
      toastProblem(error);
    }
  }
  function draw() {
    if (!rows.length) return replace(body, emptyState({ title: "No mistakes", text: "Every example that was kept is predicted as it is labelled." }));
    const has = (name) => rows.some((row) => row[name] !== undefined && row[name] !== null);
    const columns = [
      { label: "row", numeric: true, cell: (row) => count(row.row) },
      { label: "text", isHeader: true, class: "prose", cell: (row) => textOf(row) },
      { label: "true", cell: (row) => labelWords(row.true) },
      { label: "predicted", cell: (row) => labelWords(row.predicted) },
      ...(has("score") ? [{ label: "score", numeric: true, cell: (row) => figure(row.score, 3) }] : []),
      ...(has("split") ? [{ label: "split", cell: (row) => row.split }] : []),
    ];
    replace(body, h("div", { class: "card" }, table({ label: "Mistakes", rows, columns }),
      page.has_more ? h("div", { class: "table-foot" }, `${rows.length} shown`, h("button", { type: "button", class: "button small", onclick: more }, "Load more")) : null));
  }
  panel.append(h("p", { class: "muted" }, "Look at these first: wrong labels in the data show up here as often as faults of the model."), body);
  draw();
}

function textOf(row) {
  const text = row.text ?? row.texts ?? row.inputs;
  if (text !== null && typeof text === "object") return Object.values(text).map((part) => h("div", null, String(part)));
  return [h("div", null, String(text ?? "")), row.text_pair ? h("div", { class: "muted" }, row.text_pair) : null];
}

function labelWords(label) {
  return Array.isArray(label) ? label.join(", ") : typeof label === "number" ? figure(label) : String(label ?? "–");
}
