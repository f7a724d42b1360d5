/** A job in a list. It is updated in place, so that the focus stays where it is. */

import { path } from "../api.js";
import { progressBar } from "../components/progress.js";
import { statusBadge } from "../components/status.js";
import { h, patch } from "../dom.js";
import { duration, figure, shortId, time } from "../format.js";
import { href } from "../router.js";
import { jobActions } from "./actions.js";
import { bestMetric, hasEnded, jobName, jobTask, modelName, runSeconds, standing } from "./words.js";

export const COLUMNS = ["Select", "Job", "Status", "Progress", "Best metric", "Model", "Created", "Duration", "Actions"];

/**
 * @param {import("./words.js").Job} first
 * @param {{selected: Set<string>, onSelect: () => void, onChange: (job: *) => void}} options
 * @returns {{element: HTMLElement, update: (job: *) => void}}
 */
export function jobRow(first, { selected, onSelect, onChange }) {
  const { id } = first;
  const check = h("input", { type: "checkbox", checked: selected.has(id), "aria-label": `Select ${jobName(first)}`, onchange: choose });
  const name = h("th", { scope: "row", class: "job-name" });
  const status = h("td", { class: "status-cell" });
  const words = h("div", { class: "words" });
  const bar = progressBar(`Progress of ${jobName(first)}`);
  const metric = h("td", { class: "num metric-cell" });
  const model = h("td", { class: "clip model" });
  const took = h("td", { class: "num duration-cell" });
  const actions = jobActions({ onChange, compact: true });
  const element = h("tr", { dataset: { job: id } },
    h("td", { class: "select-cell" }, check), name, status, h("td", { class: "progress-cell" }, bar.element, words), metric, model,
    h("td", { class: "nowrap created-cell" }, time(first.created_at)), took, h("td", { class: "actions" }, actions.element));

  function choose() {
    if (check.checked) selected.add(id);
    else selected.delete(id);
    onSelect();
  }

  return {
    element,
    update(job) {
      check.checked = selected.has(id);
      patch(name, [jobName(job), jobTask(job)], () => [
        h("div", { class: "clip" }, h("a", { href: href(path`/jobs/${id}`) }, jobName(job))),
        h("div", { class: "sub" }, h("span", { class: "nowrap", title: id }, shortId(id)), h("span", { class: "clip" }, jobTask(job))),
      ]);
      patch(status, job.status, () => statusBadge(job.status));
      const shows = !hasEnded(job) || (job.status !== "succeeded" && job.progress.step > 0);
      bar.element.hidden = !shows || job.status === "queued";
      bar.update(job.progress.fraction);
      patch(words, standing(job), () => standing(job));
      const best = bestMetric(job);
      patch(metric, best, () => (best ? [h("span", { class: "muted small" }, `${best.name} `), figure(best.value)] : h("span", { class: "muted" }, "–")));
      const from = job.spec?.model ?? "";
      patch(model, from, () => h("span", { title: from }, modelName(from)));
      const seconds = duration(runSeconds(job));
      patch(took, seconds, () => seconds);
      actions.update(job);
    },
  };
}
