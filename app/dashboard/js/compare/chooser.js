/** Adding runs to a comparison, and taking them out. */

import { get } from "../api.js";
import { icon } from "../components/icons.js";
import { statusBadge } from "../components/status.js";
import { h, replace, uniqueId } from "../dom.js";
import { relative, shortId } from "../format.js";
import { jobName } from "../jobs/words.js";

/**
 * @param {{signal: AbortSignal, onAdd: (id: string) => void}} options
 * @returns {{element: HTMLElement, leaveOut: (ids: string[]) => void}}
 */
export function runChooser({ signal, onAdd }) {
  const id = uniqueId("run");
  const select = h("select", { class: "select", id, onchange: () => {
    if (select.value) onAdd(select.value);
  } }, h("option", { value: "" }, "Loading jobs …"));
  let jobs = [];
  let without = [];
  const fill = () => {
    const others = jobs.filter((job) => !without.includes(job.id));
    replace(select, h("option", { value: "" }, others.length ? "Choose a job" : "There is no other job"), others.map((job) => h("option", { value: job.id }, [jobName(job), job.status, relative(job.created_at), shortId(job.id)].join(" · "))));
  };
  get("/jobs", { kind: "training", limit: 100 }, signal).then((page) => {
    jobs = page.data;
    fill();
  }).catch(() => signal.aborted || replace(select, h("option", { value: "" }, "The jobs cannot be read")));
  return {
    element: h("div", { class: "field run-choice" }, h("label", { for: id }, "Add a run"), select),
    leaveOut(ids) {
      without = ids;
      fill();
    },
  };
}

/** @param {*} job @param {{href: string, sample: Node, onRemove: () => void}} options how its curves are drawn */
export function runChip(job, { href, sample, onRemove }) {
  return h("li", { class: "run-chip" }, sample, h("a", { href }, jobName(job)), statusBadge(job.status),
    h("button", { type: "button", class: "button ghost icon", "aria-label": `Take ${jobName(job)} out of the comparison`, title: "Take out", onclick: onRemove }, icon("cross", 13)));
}
