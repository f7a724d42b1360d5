/** What the job was asked for, what was chosen for it, and how to ask for the same again. */

import { codeBlock } from "../../components/code.js";
import { tag } from "../../components/status.js";
import { table } from "../../components/table.js";
import { h, patch } from "../../dom.js";
import { flat, specDefaults } from "../../jobs/defaults.js";
import { currentKey } from "../../key.js";

const ROUTES = { training: "/jobs", prediction: "/predict/batch" };

/** @param {HTMLElement} panel @param {import("../../jobs/feed.js").JobFeed} feed */
export async function buildSpec(panel, feed) {
  const defaults = await specDefaults(feed.job.kind);
  const update = (job) => patch(panel, [job.spec, job.requested_spec], () => [
    h("div", { class: "card" }, specTable(job, defaults)),
    codeBlock(curl(job), { label: "the same with curl" }),
    codeBlock(JSON.stringify(job.spec, null, 2), { label: "spec as JSON" }),
  ]);
  feed.onJob(update);
  update(feed.job);
}

function specTable(job, defaults) {
  const given = new Map(flat(job.requested_spec ?? {}));
  const rows = flat(job.spec).map(([name, value]) => ({ name, value, source: sourceOf(given, defaults, name) }));
  return table({
    label: "Spec", class: "spec-table",
    caption: "“given” was in the request, “chosen” was found by looking at the data, the model and the machine; all else is the default.",
    rows: rows.filter((row) => row.source !== "default").concat(rows.filter((row) => row.source === "default")),
    columns: [
      { label: "Field", isHeader: true, cell: (row) => h("code", null, row.name) },
      { label: "Value", cell: (row) => words(row.value) },
      { label: "From", cell: (row) => (row.source === "default" ? h("span", { class: "muted" }, "default") : tag(row.source)) },
    ],
  });
}

/** A default of “auto” that is not “auto” any more was chosen, and so is what replaced a given “auto”. */
function sourceOf(given, defaults, name) {
  const asked = given.has(name) ? given.get(name) : defaults.get(name);
  if (asked === "auto") return "chosen";
  return given.has(name) ? "given" : "default";
}

function words(value) {
  if (value === null) return h("span", { class: "muted" }, "none");
  return typeof value === "object" ? h("code", null, JSON.stringify(value)) : String(value);
}

/** The request that made the job, for a shell: a quote within the JSON ends the string, is escaped, and begins it anew. */
function curl(job) {
  const route = ROUTES[job.kind] ?? `/models/${encodeURIComponent(job.spec.model)}/export`;
  const { model, ...rest } = job.requested_spec ?? job.spec;
  const body = JSON.stringify(job.kind === "export" ? rest : { model, ...rest }, null, 2).replaceAll("'", "'\\''");
  const key = currentKey() === null ? "" : " \\\n  -H \"authorization: Bearer $TUNERY_API_KEY\"";
  return `curl ${location.origin}${route} -H 'content-type: application/json'${key} -d '${body}'`;
}
