/** The scores of runs side by side: at their best checkpoint, at the end, and on the test split. */

import { bestMetric } from "../jobs/words.js";

const SMALLER_IS_BETTER = /loss|perplexity|mse|mae|error/;
const NOT_SCORES = new Set(["step", "epoch"]);

/**
 * @param {*[]} jobs
 * @returns {{name: string, when: string, values: (number|null)[], best: number|null, isChosen: boolean}[]} `best`: the index of the best
 *   run, null where all are the same or only one has a value; `isChosen`: by it checkpoints are chosen
 */
export function scores(jobs) {
  const rows = [
    ...rowsOf(jobs, "best checkpoint", (job) => job.metrics?.best, /^eval\//),
    ...rowsOf(jobs, "test split", (job) => asTest(job.report?.test?.metrics), /^test\//),
    ...rowsOf(jobs, "last values", (job) => job.metrics?.latest, /^(eval|train)\//),
  ];
  const chosen = new Set(jobs.map((job) => bestMetric(job)?.name).filter(Boolean));
  return rows.map((row) => ({ ...row, best: bestOf(row), isChosen: row.when === "best checkpoint" && chosen.has(row.name.replace("eval/", "")) }))
    .sort((a, b) => Number(b.isChosen) - Number(a.isChosen));
}

function rowsOf(jobs, when, read, wanted) {
  const found = jobs.map((job) => read(job) ?? {});
  const names = [...new Set(found.flatMap((values) => Object.keys(values)))].filter((name) => wanted.test(name) && !NOT_SCORES.has(name) && found.some((values) => typeof values[name] === "number"));
  return names.sort().map((name) => ({ name, when, values: found.map((values) => (typeof values[name] === "number" ? values[name] : null)) }));
}

function asTest(metrics) {
  return metrics && Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`test/${name}`, value]));
}

function bestOf({ name, values }) {
  if (/learning_rate|grad_norm|epoch/.test(name)) return null;
  const there = values.filter((value) => value !== null && Number.isFinite(value));
  if (there.length < 2 || new Set(there).size === 1) return null;
  return values.indexOf(SMALLER_IS_BETTER.test(name) ? Math.min(...there) : Math.max(...there));
}
