/**
 * What a job is called and how it stands, in words.
 *
 * @typedef {Object<string, *>} Job as `GET /jobs/{job_id}` answers
 */

import { count, duration, figure, percent } from "../format.js";

export const STATUSES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
export const KINDS = ["training", "prediction", "export"];
const ENDED = new Set(["succeeded", "failed", "cancelled"]);
/** Metrics of which less is better, where the spec does not say which way it goes. */
const SMALLER_IS_BETTER = /loss|perplexity|mse|mae|error/;

/** @param {Job} job */
export function hasEnded(job) {
  return ENDED.has(job.status);
}

/** @param {Job} job @returns {string} the user's own word for it, else what it works on */
export function jobName(job) {
  return job.metadata?.name || job.spec?.suffix || modelName(job.spec?.model ?? job.kind);
}

/** @param {string} model @returns {string} without the id of the job that made it */
export function modelName(model) {
  if (!model.startsWith("ft:")) return model;
  const [, base, , suffix] = model.split(":");
  return suffix || `${base} (fine-tuned)`;
}

/** @param {Job} job @returns {string} such as "text-classification" or "prediction" */
export function jobTask(job) {
  return job.kind === "training" ? (job.spec?.task ?? "training") : job.kind;
}

/** @param {Job} job @returns {{name: string, value: number, smallerIsBetter: boolean}|null} the metric that chooses its best checkpoint */
export function bestMetric(job) {
  const best = job.metrics?.best ?? job.metrics?.latest;
  if (!best) return null;
  const wanted = job.spec?.training?.metric_for_best_model;
  const name = [`eval/${wanted}`, ...Object.keys(best).filter((each) => each.startsWith("eval/"))].find((each) => best[each] !== undefined);
  if (name === undefined) return null;
  const greater = job.spec?.training?.greater_is_better;
  return { name: name.replace("eval/", ""), value: best[name], smallerIsBetter: typeof greater === "boolean" ? !greater : SMALLER_IS_BETTER.test(name) };
}

/** @param {Job} job @returns {number|null} seconds that it has run, or ran */
export function runSeconds(job) {
  if (!job.started_at) return null;
  const end = job.finished_at ? new Date(job.finished_at) : new Date();
  return Math.max(0, (end.getTime() - new Date(job.started_at).getTime()) / 1000);
}

/** @param {Job} job @returns {string} one line on where it is */
export function standing(job) {
  const { progress } = job;
  const asked = { cancel: "cancelling", pause: "pausing", stop: "stopping" }[job.request?.action];
  if (job.status === "running") {
    const words = [asked ?? job.phase ?? "starting"];
    if (progress.max_steps) words.push(`${count(progress.step)} / ${count(progress.max_steps)}`);
    return words.join(" · ");
  }
  if (job.status === "queued") return job.queue?.position ? `number ${job.queue.position > 1000 ? "1,000+" : job.queue.position} in the queue` : "in the queue";
  if (progress.max_steps) return `${count(progress.step)} / ${count(progress.max_steps)} ${stepWord(job)}`;
  return "";
}

/** @param {Job} job */
export function stepWord(job) {
  return { training: "steps", prediction: "rows", export: "inputs" }[job.kind] ?? "steps";
}

/** @param {Job} job @returns {string[]} how it goes on, each a few words */
export function pace(job) {
  const { progress } = job;
  const words = [];
  if (job.status !== "running") return words;
  words.push(percent(progress.fraction));
  if (job.kind === "training" && progress.epoch) words.push(`epoch ${figure(progress.epoch, 3)}`);
  if (progress.samples_per_second) words.push(`${figure(progress.samples_per_second, 3)} examples/s`);
  if (progress.tokens_per_second) words.push(`${count(Math.round(progress.tokens_per_second))} tokens/s`);
  if (progress.eta_seconds !== null && progress.eta_seconds !== undefined) words.push(`${duration(progress.eta_seconds)} left`);
  return words;
}

/** @param {Job} job @param {string} words @returns {boolean} whether all of them occur in what the list shows of it */
export function matches(job, words) {
  const text = [job.id, jobName(job), job.spec?.model, jobTask(job), job.status, job.kind, job.error?.message, ...Object.entries(job.metadata ?? {}).flat()]
    .filter(Boolean)
    .join(" ")
    .toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
