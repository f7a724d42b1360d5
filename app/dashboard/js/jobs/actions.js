/**
 * What can be asked of a job, as buttons.
 *
 * @typedef {import("./words.js").Job} Job
 * @typedef {{name: string, label: string, icon: string, fits: (job: Job) => boolean, done: string, confirm?: {title: string, text: string, confirm: string}, danger?: boolean}} Action
 */

import { path, post } from "../api.js";
import { confirmDialog } from "../components/dialog.js";
import { icon } from "../components/icons.js";
import { toastProblem } from "../components/problem.js";
import { toast } from "../components/toast.js";
import { h, patch } from "../dom.js";
import { go, href } from "../router.js";
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
  return {
    element,
    update(job) {
      current = job;
      const fitting = ACTIONS.filter((action) => action.fits(job));
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
