/** Sweeps: searches for hyperparameters, live. */

import { get, hasRoute, path } from "../api.js";
import { emptyState } from "../components/empty.js";
import { icon } from "../components/icons.js";
import { statusBadge } from "../components/status.js";
import { table } from "../components/table.js";
import { h, patch } from "../dom.js";
import { figure, shortId, time } from "../format.js";
import { modelName } from "../jobs/words.js";
import { poll } from "../live.js";
import { href } from "../router.js";
import { hasEnded, standing, sweepName } from "../sweeps/words.js";

const PAGE = 50;
const BUSY_SECONDS = 3;
const IDLE_SECONDS = 10;

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { signal }) {
  const card = h("div", { class: "card" });
  const isKnown = await hasRoute("/sweeps");
  const make = () => h("a", { class: "button primary", href: href("/sweeps/new") }, icon("plus"), "New sweep");
  root.append(h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("h1", { tabindex: "-1" }, "Sweeps"),
    h("p", { class: "lead" }, "Many jobs that try settings; the best model is kept.")), isKnown ? make() : ""), card);
  if (!isKnown) {
    card.append(emptyState({ title: "This server has no sweeps", text: "A later version of it searches for hyperparameters." }));
    root.dataset.ready = "true";
    return;
  }
  let older = [];
  let hasMore = false;

  async function refresh() {
    const page = await get("/sweeps", { limit: PAGE }, signal);
    if (older.length === 0) hasMore = page.has_more;
    draw([...page.data, ...older.filter((sweep) => !page.data.some((one) => one.id === sweep.id))]);
    return page.data.some((sweep) => !hasEnded(sweep)) ? BUSY_SECONDS : IDLE_SECONDS;
  }

  function draw(sweeps) {
    patch(card, [sweeps.map((sweep) => [sweep.id, sweep.status, sweep.counts, sweep.best?.value]), hasMore], () => sweeps.length === 0
      ? emptyState({ title: "No sweep yet", text: "A sweep tries many settings of a job, such as learning rates, and keeps the best model.", action: make() })
      : [table({ label: "Sweeps", rows: sweeps, class: "hover", columns: COLUMNS }), hasMore
        ? h("div", { class: "table-foot" }, h("button", { type: "button", class: "button small", onclick: () => more(sweeps) }, "Load more")) : null]);
  }

  async function more(sweeps) {
    const page = await get("/sweeps", { limit: PAGE, after: sweeps.at(-1).id }, signal);
    older = [...older, ...page.data];
    hasMore = page.has_more;
    await refresh();
  }

  await refresh();
  root.dataset.ready = "true";
  poll(refresh, { signal, seconds: IDLE_SECONDS });
}

const wide = (label) => h("span", { class: "wide-only" }, label);

const COLUMNS = [
  { label: "Sweep", isHeader: true, class: "main-cell", cell: (sweep) => [h("div", { class: "clip" }, h("a", { href: href(path`/sweeps/${sweep.id}`) }, sweepName(sweep))),
    h("div", { class: "sub" }, shortId(sweep.id))] },
  { label: "Status", cell: (sweep) => statusBadge(sweep.status) },
  { label: wide("Trials"), class: "wide-only", cell: standing },
  { label: "Best", numeric: true, cell: (sweep) => (sweep.best ? [h("span", { class: "muted small wide-only" }, `${sweep.spec.metric} `), figure(sweep.best.value)] : "–") },
  { label: wide("Model"), class: "wide-only", cell: (sweep) => modelName(sweep.spec.job.model) },
  { label: wide("Created"), class: "wide-only", cell: (sweep) => time(sweep.created_at) },
];
