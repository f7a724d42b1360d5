/**
 * What can be asked of a job, as buttons.
 *
 * @typedef {import("./words.js").Job} Job
 * @typedef {{name: string, label: string, icon: string, fits: (job: Job) => boolean, done: string, confirm?: {title: string, text: string, confirm: string}, danger?: boolean}} Action
 */

import { path, post, remove } from "../api.js";
import { confirmDialog, openDialog } from "../components/dialog.js";
import { icon } from "../components/icons.js";
import { toastProblem } from "../components/problem.js";
import { toast } from "../components/toast.js";
import { h, patch } from "../dom.js";
import { go, href } from "../router.js";
import { resultsChoice } from "./results-choice.js";
import { hasEnded, jobName } from "./words.js";

/** @type {Action[]} */
const ACTIONS = [
  {
    name: "stop", label: "Stop, keep best", icon: "stop", done: "The job will publish the best model so far.",
    fits: (job) => job.kind === "training" && job.status === "running" && !["cancel", "stop"].includes(job.request?.action),
    confirm: { title: "Stop and keep the best model?", text: "The job trains no further, evaluates once more, publishes the best model so far, and succeeds.", confirm: "Stop" },
  },
  { name: "pause", label: "Pause", icon: "pause", done: "The job will be paused.", fits: (job) => ["running", "queued"].includes(job.status) && !job.request },
  {
    name: "resume", label: "Resume", icon: "play", done: "The job goes on.",
    fits: (job) => job.status === "paused" || (job.status === "running" && job.request?.action === "pause"),
  },
  {
    name: "cancel", label: "Cancel", icon: "cross", done: "The job is being cancelled.", danger: true,
    fits: (job) => !hasEnded(job) && job.request?.action !== "cancel",
    confirm: { title: "Cancel this job?", text: "It ends without a model. What it has learned is lost; “Stop, keep best” would publish it.", confirm: "Cancel the job" },
  },
  { name: "retry", label: "Retry", icon: "retry", done: "A new job was made from the same spec.", fits: hasEnded },
];

/** Not in lists, where a slip would cost a job. A trial goes with its sweep. @type {Action} */
const DELETE = { name: "delete", label: "Delete", icon: "trash", done: "The job is deleted.", danger: true, fits: (job) => hasEnded(job) && !job.sweep_id };

/**
 * Buttons that follow the job as it changes.
 * @param {{onChange: (job: Job) => void, compact?: boolean}} options `onChange` is given the API's answer
 * @returns {{element: HTMLElement, update: (job: Job) => void}}
 */
export function jobActions({ onChange, compact = false }) {
  const element = h("div", { class: "row actions-row" });
  /** @type {Job} */
  let current;
  async function act(action, button) {
    if (action === DELETE) return drop();
    if (action.confirm && !(await confirmDialog({ ...action.confirm, danger: action.danger }))) return;
    button.disabled = true;
    try {
      const job = await post(path`/jobs/${current.id}/${action.name}`);
      toast(action.done);
      if (job.id !== current.id) go(href(path`/jobs/${job.id}`));
      else onChange(job);
    } catch (error) {
      toastProblem(error);
    } finally {
      button.disabled = false;
    }
  }
  async function drop() {
    const choice = resultsChoice(current.model ? "its model" : current.result_files.length ? "its files" : null);
    const text = "Its metrics, events, checkpoints and log are removed from the server.";
    if (!(await openDialog({ title: `Delete ${jobName(current)}?`, body: [h("p", null, text), choice.element], confirm: "Delete the job", cancel: "Keep as it is", danger: true }))) return;
    try {
      await remove(path`/jobs/${current.id}`, undefined, { results: choice.results() });
      toast(DELETE.done);
      go(href("/jobs"));
    } catch (error) {
      toastProblem(error);
    }
  }
  return {
    element,
    update(job) {
      current = job;
      const fitting = [...ACTIONS, ...(compact ? [] : [DELETE])].filter((action) => action.fits(job));
      patch(element, fitting.map((action) => action.name), () =>
        fitting.map((action) => {
          const label = compact ? `${action.label}: ${jobName(job)}` : null;
          const kind = compact ? "ghost icon" : action.danger ? "danger" : "";
          const button = h("button", { type: "button", class: `button ${kind}`, "aria-label": label, title: compact ? action.label : null,
            onclick: () => act(action, button) }, icon(action.icon), compact ? null : action.label);
          return button;
        }),
      );
    },
  };
}
