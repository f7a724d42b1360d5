/** The top of a job's page: name, status, progress, what can be asked of it, what went wrong. */

import { path } from "../../api.js";
import { copyButton } from "../../components/code.js";
import { icon } from "../../components/icons.js";
import { notice } from "../../components/problem.js";
import { progressBar } from "../../components/progress.js";
import { statusBadge, tag } from "../../components/status.js";
import { h, patch } from "../../dom.js";
import { duration, shortId, time } from "../../format.js";
import { jobActions } from "../../jobs/actions.js";
import { hasEnded, jobName, jobTask, pace, runSeconds, standing } from "../../jobs/words.js";
import { href } from "../../router.js";

/** @param {import("../../jobs/feed.js").JobFeed} feed @returns {HTMLElement} */
export function jobHeader(feed) {
  const title = h("h1", { tabindex: "-1" });
  const badge = h("span", { role: "status", "aria-live": "polite" });
  const about = h("div", { class: "row lead small" });
  const actions = jobActions({ onChange: feed.take });
  const bar = progressBar("Progress of the job");
  const left = h("span");
  const right = h("span");
  const progress = h("div", { class: "job-progress" }, bar.element, h("div", { class: "words" }, left, right));
  const notices = h("div", { class: "stack tight" });
  const element = h("div", { class: "stack tight", style: { "margin-bottom": "16px" } },
    h("p", { class: "small" }, h("a", { href: href("/jobs") }, "Jobs"), " / ", h("span", { class: "muted" }, shortId(feed.job.id))),
    h("div", { class: "page-head", style: { "margin-bottom": "0" } },
      h("div", { class: "page-head-text" }, h("div", { class: "job-title" }, title, badge), about), h("div", { class: "row" }, template(feed.job), actions.element)),
    progress, notices);

  function update(job) {
    patch(title, jobName(job), () => jobName(job));
    patch(badge, [job.status, job.request?.action], () => [statusBadge(job.status), job.request && !hasEnded(job) ? [" ", tag(`${job.request.action} asked for`)] : null]);
    patch(about, [job.started_at, job.finished_at, job.attempt, job.retry_of, job.metadata], () => aboutLine(job));
    actions.update(job);
    progress.hidden = hasEnded(job);
    bar.update(job.status === "running" && !job.progress.max_steps ? null : job.progress.fraction);
    left.textContent = standing(job);
    right.textContent = [...pace(job), ...expectation(job)].join(" · ");
    patch(notices, [job.error, job.warnings], () => [job.error ? errorPanel(job.error) : null, job.warnings.map(warningPanel)]);
  }

  feed.onJob(update);
  update(feed.job);
  return element;
}

/** The form of a new job, filled with what was sent for this one. */
function template(job) {
  return job.kind === "training" ? h("a", { class: "button", href: href("/new", { from: job.id }) }, icon("copy"), "Use as template") : null;
}

function aboutLine(job) {
  return [
    h("span", { class: "mono" }, job.id, copyButton(() => job.id, "Copy the job's id")),
    tag(jobTask(job)),
    h("span", null, "created ", time(job.created_at)),
    job.finished_at ? h("span", null, `ran ${duration(runSeconds(job))}`) : null,
    job.attempt > 1 ? h("span", null, `attempt ${job.attempt}`) : null,
    job.retry_of ? h("span", null, "retry of ", h("a", { href: href(path`/jobs/${job.retry_of}`) }, shortId(job.retry_of))) : null,
    Object.entries(job.metadata).map(([name, value]) => tag(`${name}: ${value}`)),
  ];
}

function expectation(job) {
  const words = [];
  const inWords = (instant) => duration(Math.max(0, (new Date(instant).getTime() - Date.now()) / 1000));
  if (job.queue?.estimated_start_at) words.push(`starts in about ${inWords(job.queue.estimated_start_at)}`);
  if (job.estimated_finish_at && !job.progress.eta_seconds) words.push(`done in about ${inWords(job.estimated_finish_at)}`);
  return words;
}

function errorPanel(error) {
  return notice("bad", error.message,
    error.param ? h("p", null, "Where: ", h("code", null, error.param)) : null,
    error.hint ? h("p", null, error.hint) : null,
    h("p", { class: "muted small" }, error.code));
}

function warningPanel(warning) {
  const advice = ADVICE[warning.code];
  return notice(QUIET.has(warning.code) ? "info" : "warn", warning.message, advice ? h("p", null, advice) : null, h("p", { class: "muted small" }, warning.code));
}

/** Warnings that only tell. */
const QUIET = new Set(["new_weights", "hidden_test_labels"]);
/** What to do about a warning, by its code (docs/errors.md says what each means). */
const ADVICE = {
  class_without_examples: "Add examples of the class, or leave it out of label_names.",
  conflicting_labels: "The data tab shows the first of them: decide for one label, or remove the rows.",
  duplicate_rows: "Remove them, unless they are meant to weigh more.",
  few_examples_of_class: "Add examples, or merge the class with another.",
  imbalanced_labels: "Look at f1_macro and the scores by class; training.class_weights “balanced” lets all classes weigh the same.",
  label_not_evaluated: "Move rows of it into the validation or test split.",
  small_dataset: "Collect more rows; until then compare several seeds.",
  small_split: "Take more rows, so that scores tell models apart.",
  split_overlap: "Remove the rows from one of the splits: scores of what was seen in training are too good.",
  disk_full: "Delete files or models that are not needed, or enlarge the disk.",
  empty_text: "Remove these rows or fill them in: a text without words teaches nothing.",
  large_numbers: "Train on smaller numbers, such as the difference from their mean divided by their spread.",
  new_head: "If the labels were to stay the same, give label_names in the order of the base model's.",
  not_deterministic: "If a rerun must give the same weights, train on a CPU.",
  out_of_memory: "It goes on more slowly; a smaller per_device_train_batch_size or max_length avoids that.",
  tags_without_names: "Give label_names, with O for what is no entity.",
  tracker_failed: "The job is not affected; look at the tracker's own settings on the worker.",
  truncated: "A larger training.max_length reads more of each text, if the model can.",
};
