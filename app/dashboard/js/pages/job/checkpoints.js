import { get, path } from "../../api.js";
import { emptyState } from "../../components/empty.js";
import { statusBadge } from "../../components/status.js";
import { table } from "../../components/table.js";
import { h, patch } from "../../dom.js";
import { bytes, count, figure, shortId, time } from "../../format.js";

const STATES = { committed: "ok", corrupt: "bad", deleted: "idle" };

/** What was saved, newest first. Asked again when an event tells of a phase or an evaluation. */
export async function buildCheckpoints(panel, feed, signal) {
  const draw = (rows) => patch(panel, rows, () => (rows.length ? checkpointTable(rows) : emptyState({ title: "No checkpoint yet", text: "The first is written after an evaluation, or when the job is paused." })));
  const load = async () => draw((await get(path`/jobs/${feed.job.id}/checkpoints`, {}, signal)).data);
  let seen = "";
  feed.onJob((job) => {
    const now = JSON.stringify([job.metrics.latest, job.phase, job.status]);
    if (now !== seen) load().catch(() => {});
    seen = now;
  });
  await load();
}

function checkpointTable(rows) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))].sort();
  return h("div", { class: "card" }, table({ label: "Checkpoints", rows, class: "hover", columns: [
    { label: "Step", numeric: true, isHeader: true, cell: (row) => count(row.step) },
    { label: "Epoch", numeric: true, cell: (row) => figure(row.epoch, 3) },
    ...names.map((name) => ({ label: name.replace("eval/", ""), numeric: true, cell: (row) => figure(row.metrics[name]) })),
    { label: "State", cell: (row) => h("span", { class: "row" }, statusBadge(STATES[row.state] ?? "idle", row.state), row.is_best ? statusBadge("info", "best") : null) },
    { label: "Size", numeric: true, cell: (row) => bytes(row.size_bytes) },
    { label: "Written", cell: (row) => time(row.created_at) },
    { label: "Id", cell: (row) => h("span", { class: "mono small", title: row.id }, shortId(row.id)) },
  ] }));
}
