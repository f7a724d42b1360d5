/** What the server says to a request before it is sent: asked a moment after the last change, and never twice for the same. */

import { ApiError, isAbort, post } from "../api.js";
import { notice } from "../components/problem.js";
import { statusBadge } from "../components/status.js";
import { facts } from "../components/table.js";
import { h, replace } from "../dom.js";
import { count, figure } from "../format.js";
import { at } from "../spec/draft.js";
import { childOf } from "../visible.js";

const WAIT_MS = 400;

/**
 * @param {{path: string, missing: (body: *) => string|null, views: () => import("../spec/field.js").FieldView[], signal: AbortSignal, onAnswer: (answer: *) => void,
 *   summary: (answer: *) => import("../dom.js").Child, reveal: (path: string) => void, prefix?: string}} options
 *   `missing`: what has to be chosen before there is anything to ask; `prefix`: where in the request the fields of a job stand
 */
export function liveCheck({ path, missing, views, signal, onAnswer, summary, reveal, prefix = "" }) {
  const element = h("div", { class: "stack tight", role: "status", "aria-live": "polite" });
  let timer = 0;
  let asking = null;
  let asked = "";

  function clear() {
    for (const view of views()) view.problem(null);
  }

  /** @param {*} body */
  function later(body) {
    clearTimeout(timer);
    const words = missing(body);
    if (words !== null) {
      asking?.abort();
      asked = "";
      clear();
      replace(element, h("div", null, statusBadge("idle", "Not complete")), h("p", { class: "muted" }, words));
      return;
    }
    timer = setTimeout(() => ask(body), WAIT_MS);
  }

  async function ask(body) {
    const written = JSON.stringify(body);
    if (written === asked || signal.aborted) return;
    asked = written;
    asking?.abort();
    const mine = (asking = childOf(signal));
    try {
      const answer = await post(path, body, { query: { validate_only: true }, signal: mine.signal });
      if (mine.signal.aborted) return;
      clear();
      for (const view of views()) view.show(at(answer.spec, prefix + view.element.dataset.path));
      onAnswer(answer);
      replace(element, h("div", null, statusBadge(answer.warnings.length ? "warn" : "ok", answer.warnings.length ? "Fits, with warnings" : "Fits")), summary(answer),
        answer.warnings.length ? h("div", { class: "stack tight report-warnings" }, answer.warnings.map((one) => notice("warn", one.message))) : null);
    } catch (error) {
      if (isAbort(error) || mine.signal.aborted) return;
      asked = "";
      show(error);
    } finally {
      mine.abort();
    }
  }

  /** @param {unknown} error that the server refuses the request with, shown where it names a field */
  function show(error) {
    clear();
    const problems = error instanceof ApiError && error.problems.length ? error.problems : [{ message: error.message, param: error.param ?? null }];
    const seen = new Set();
    const general = [];
    for (const problem of problems) {
      if (problem.param !== null && seen.has(problem.param)) continue;
      seen.add(problem.param);
      const view = problem.param && views().find((one) => fits(one.element.dataset.path, problem.param) || (prefix && fits(prefix + one.element.dataset.path, problem.param)));
      if (view) {
        view.problem(problem.message);
        reveal(view.element.dataset.path);
      }
      general.push([view, problem]);
    }
    replace(element, h("div", null, statusBadge("bad", "Does not fit yet")),
      h("ul", { class: "problems plain" }, general.map(([view, problem]) => h("li", null,
        problem.param ? [view ? h("button", { type: "button", class: "link", onclick: () => view.input.focus() }, problem.param) : h("code", null, problem.param), ": "] : null, problem.message))),
      error.hint ? h("p", { class: "muted" }, error.hint) : null);
  }

  signal.addEventListener("abort", () => clearTimeout(timer));
  return { element, later, show };
}

function fits(path, param) {
  return param === path || param.startsWith(`${path}.`) || param.startsWith(`${path}[`);
}

/** What the job will be, in a few lines. @param {*} answer of `POST /jobs?validate_only=true` */
export function jobSummary({ spec, data_report: report }) {
  const rows = report?.splits?.train?.num_rows;
  const { training } = spec;
  const length = training.max_steps > 0 ? `${count(training.max_steps)} steps` : training.num_train_epochs === "auto" ? "as many epochs as fit" : `${figure(training.num_train_epochs)} epochs`;
  return facts([
    ["Task", spec.task === "auto" ? "found by the worker" : spec.task.replaceAll("-", " ")],
    ["Training rows", rows === undefined ? null : count(rows)],
    ["Labels", Array.isArray(spec.label_names) && spec.label_names.length ? `${count(spec.label_names.length)}: ${spec.label_names.slice(0, 4).join(", ")}${spec.label_names.length > 4 ? " …" : ""}` : null],
    ["Length", length],
    ["Learning rate", String(training.learning_rate)],
    ["Chosen by", training.metric_for_best_model === "auto" ? null : training.metric_for_best_model],
  ]);
}
