/** What the model got wrong, worst first: by split, and by what was right and what it said. */

import { ApiError, get, path } from "../../api.js";
import { emptyState } from "../../components/empty.js";
import { toastProblem } from "../../components/problem.js";
import { table } from "../../components/table.js";
import { h, replace } from "../../dom.js";
import { count, figure } from "../../format.js";
import { rememberQuery } from "../../router.js";

const PAGE = 50;
const WORDS = { split: "split", label: "right", predicted: "predicted" };

/** @param {string} jobId @param {AbortSignal} signal @returns {Promise<boolean>} whether this job has been looked at for mistakes */
export async function hasMistakes(jobId, signal) {
  try {
    const page = await get(path`/jobs/${jobId}/mistakes`, { limit: 1 }, signal);
    return page.data.length > 0 || (page.num_examples ?? null) !== null;
  } catch (error) {
    if (error instanceof ApiError && [404, 409].includes(error.status)) return false;
    throw error;
  }
}

/**
 * @param {HTMLElement} panel
 * @param {import("../../jobs/feed.js").JobFeed} feed
 * @param {AbortSignal} signal
 * @param {URLSearchParams} query `split`, `label` and `predicted` choose what is shown
 */
export async function buildMistakes(panel, feed, signal, query) {
  const { report } = feed.job;
  const chosen = { split: query.get("split") ?? "", label: query.get("label") ?? "", predicted: query.get("predicted") ?? "" };
  const labels = report?.labels ?? (report?.per_class ?? []).map((row) => row.label);
  const body = h("div", { class: "stack tight" });
  let rows = [];

  async function load(after) {
    const page = await get(path`/jobs/${feed.job.id}/mistakes`, { ...chosen, limit: PAGE, after }, signal);
    rows = after ? [...rows, ...page.data] : page.data;
    replace(body, summary(page), rows.length ? mistakeTable(rows) : emptyState({ title: "No mistakes of that kind", text: "Every example that was kept and fits is answered as it is labelled." }),
      page.has_more ? h("div", { class: "row" }, h("button", { type: "button", class: "button", onclick: () => load(page.last_id).catch(toastProblem) }, "Load more")) : null);
  }

  function choose(changes) {
    Object.assign(chosen, changes);
    rememberQuery(changes);
    load().catch(toastProblem);
  }

  const choice = (name, any, values) => h("select", { class: "select", "aria-label": name, onchange: (event) => choose({ [name]: event.target.value }) },
    any ? h("option", { value: "" }, any) : null, values.map((value) => h("option", { value, selected: chosen[name] === value }, `${WORDS[name]}: ${value}`)));
  panel.append(h("div", { class: "toolbar" },
    report?.test ? choice("split", null, ["validation", "test"]) : null,
    labels.length ? [choice("label", "Any label", labels), choice("predicted", "Any prediction", labels)] : null), body);
  await load();
}

function summary(page) {
  const words = [];
  if ((page.num_wrong ?? null) !== null) words.push(`${count(page.num_wrong)} of ${count(page.num_examples)} examples of ${page.split} are answered wrongly`);
  if (page.num_kept !== undefined) words.push(`${count(page.num_kept)} are kept`);
  if (page.rows_of) words.push(`rows are counted in ${page.rows_of}`);
  return h("p", { class: "muted" }, `${words.join("; ")}. Wrong labels in the data are often among the first.`);
}

function mistakeTable(rows) {
  const has = (name) => rows.some((row) => (row[name] ?? null) !== null);
  return h("div", { class: "card" }, table({ label: "Mistakes", rows, columns: [
    { label: "Row", numeric: true, cell: (row) => count(row.row) },
    { label: "Text", isHeader: true, class: "prose", cell: (row) => [h("div", null, row.text), row.text_pair ? h("div", { class: "muted" }, row.text_pair) : null] },
    { label: "Right", cell: (row) => words(row.label ?? row.true) },
    { label: "Predicted", cell: (row) => words(row.predicted) },
    ...(has("score") ? [{ label: "Its score", numeric: true, cell: (row) => figure(row.score, 3) }] : []),
    ...(has("label_score") ? [{ label: "Score of the right one", numeric: true, cell: (row) => figure(row.label_score, 3) }] : []),
    ...(has("error") ? [{ label: "Error", numeric: true, cell: (row) => figure(row.error, 3) }] : []),
  ] }));
}

/** A class, a number, labels, answers, or entities with their places. */
function words(answer) {
  if (Array.isArray(answer)) {
    return answer.length ? h("ul", { class: "plain" }, answer.map((each) => h("li", null, typeof each === "object" ? `${each.entity_group}: ${each.word}` : String(each)))) : h("span", { class: "muted" }, "none");
  }
  return typeof answer === "number" ? figure(answer) : String(answer ?? "–");
}
