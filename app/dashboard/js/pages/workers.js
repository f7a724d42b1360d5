/** Workers: the machines that train, what they have and what they run, live. */

import { get, hasRoute, path } from "../api.js";
import { emptyState } from "../components/empty.js";
import { table } from "../components/table.js";
import { h, patch } from "../dom.js";
import { bytes, count, shortId, time } from "../format.js";
import { poll } from "../live.js";
import { href } from "../router.js";

const SECONDS = 5;
const TAKES = { any: "any job", gpu: "jobs that ask for GPUs", cpu: "jobs without GPUs" };

/**
 * @typedef {{name: string|null, memory_bytes: number|null}} Gpu
 * @typedef {{id: string, name: string|null, started_at: string, slots: number, num_running: number, jobs: string[],
 *   takes: string, cpus: number|null, memory_bytes: number|null, gpus: Gpu[]}} Worker
 */

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { signal }) {
  const card = h("div", { class: "card" });
  const lead = h("p", { class: "lead", role: "status" });
  root.append(h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("h1", { tabindex: "-1" }, "Workers"), lead)), card);
  if (await hasRoute("/workers")) {
    await refresh();
    poll(refresh, { signal, seconds: SECONDS });
  } else {
    card.append(emptyState({ title: "This server does not tell its workers", text: "A later version of it does." }));
  }
  root.dataset.ready = "true";

  async function refresh() {
    /** @type {{data: Worker[]}} */
    const { data } = await get("/workers", {}, signal);
    patch(lead, words(data), () => words(data));
    patch(card, data.map(({ seen_at, ...lasting }) => lasting), () => data.length === 0
      ? emptyState({ title: "No worker is there", text: "Jobs wait in the queue until one is. On this machine “tunery up” starts one, on another “tunery worker”." })
      : table({ label: "Workers", rows: data, class: "hover", columns: COLUMNS }));
  }
}

/** @param {Worker[]} workers @returns {string} */
function words(workers) {
  const sum = (of) => workers.reduce((total, worker) => total + of(worker), 0);
  const idle = sum((worker) => Math.max(0, worker.slots - worker.num_running));
  return workers.length === 0 ? "The machines that train." : `${count(sum((worker) => worker.num_running))} running, room for ${count(idle)} more.`;
}

/** @param {Gpu[]} gpus @returns {string} such as "2 × NVIDIA L4, 24.2 GB" */
function gpuWords(gpus) {
  const counts = new Map();
  for (const { name, memory_bytes: memory } of gpus) {
    const kind = [name ?? "GPU", ...(memory === null ? [] : [bytes(memory)])].join(", ");
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, number]) => (number === 1 ? kind : `${number} × ${kind}`)).join("; ") || "none";
}

/** @param {Worker} worker What it runs: links to what may be seen, and how many others there are. */
function running({ jobs, num_running: all }) {
  const others = all - jobs.length;
  return [jobs.map((job) => h("div", { class: "nowrap" }, h("a", { href: href(path`/jobs/${job}`), title: job }, shortId(job)))),
    others > 0 ? h("div", { class: "muted small" }, `${count(others)} of other projects`) : null,
    all === 0 ? h("span", { class: "muted" }, "idle") : null];
}

const wide = (label) => h("span", { class: "wide-only" }, label);

const COLUMNS = [
  { label: "Worker", isHeader: true, class: "main-cell", cell: (worker) => [h("div", { class: "clip" }, worker.name ?? "unnamed"),
    h("div", { class: "sub", title: worker.id }, `${shortId(worker.id)} · takes ${TAKES[worker.takes] ?? worker.takes}`)] },
  { label: "Runs", cell: running },
  { label: wide("Slots"), numeric: true, class: "wide-only", cell: (worker) => `${count(worker.num_running)} of ${count(worker.slots)}` },
  { label: wide("Processors"), numeric: true, class: "wide-only", cell: (worker) => count(worker.cpus) },
  { label: wide("Memory"), numeric: true, class: "wide-only", cell: (worker) => bytes(worker.memory_bytes) },
  { label: wide("GPUs"), class: "wide-only", cell: (worker) => gpuWords(worker.gpus) },
  { label: wide("Since"), class: "wide-only", cell: (worker) => time(worker.started_at) },
];
