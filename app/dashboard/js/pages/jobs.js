/** The list of jobs: newest first, a page at a time, live. */

import { get, path } from "../api.js";
import { codeBlock } from "../components/code.js";
import { emptyState } from "../components/empty.js";
import { icon } from "../components/icons.js";
import { toastProblem } from "../components/problem.js";
import { scrolled } from "../components/table.js";
import { h, keyed, patch } from "../dom.js";
import { COLUMNS, jobRow } from "../jobs/row.js";
import { KINDS, STATUSES, hasEnded, matches } from "../jobs/words.js";
import { poll } from "../live.js";
import { ROUTES } from "../routes.js";
import { href, match, rememberQuery } from "../router.js";

const PAGE = 25;
const LARGEST_PAGE = 100;
/** How many further jobs a search by text looks through before it asks whether to go on. */
const SEARCHED_AT_ONCE = 500;
const BUSY_SECONDS = 2;
const IDLE_SECONDS = 6;
const FIRST_STEP = `tunery jobs create --model all-MiniLM-L6-v2 --train data.jsonl --follow`;

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { query, signal }) {
  const filter = { status: query.get("status") ?? "", kind: query.get("kind") ?? "", text: query.get("text") ?? "" };
  const selected = new Set();
  /** @type {Map<string, *>} by id, in no order */
  let jobs = new Map();
  let hasMore = false;
  let isLoading = false;
  let turn = 0;
  const rows = new Map();

  const body = h("tbody");
  const empty = h("div");
  const foot = h("div", { class: "table-foot" });
  const bar = h("div");
  const listCard = h("div", { class: "card" }, bar, scrolled("Jobs", h("table", { class: "table hover job-table" },
    h("thead", null, h("tr", null, COLUMNS.map((label, i) => h("th", { scope: "col", class: i === 4 || i === 7 ? "num" : i === 0 ? "select-cell" : null },
      i === 0 || i === 8 ? h("span", { class: "visually-hidden" }, label) : label)))), body)), empty, foot);
  root.append(
    h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("h1", { tabindex: "-1" }, "Jobs")), newJobLink()),
    filters(),
    listCard,
  );

  function filters() {
    const search = h("input", { class: "input grow", type: "search", placeholder: "Name, id, model, note", "aria-label": "Search jobs by text", value: filter.text });
    let timer;
    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => change({ text: search.value.trim() }).catch(toastProblem), 200);
    });
    return h("form", { class: "toolbar", role: "search", style: { "margin-bottom": "12px" }, onsubmit: (event) => event.preventDefault() },
      search, choice("status", "Any status", STATUSES), choice("kind", "Any kind", KINDS));
  }

  function choice(name, any, values) {
    return h("select", { class: "select", "aria-label": `Filter by ${name}`, onchange: (event) => change({ [name]: event.target.value }).catch(toastProblem) },
      h("option", { value: "" }, any), values.map((value) => h("option", { value, selected: filter[name] === value }, value)));
  }

  async function change(changes) {
    const isNewList = "status" in changes || "kind" in changes;
    Object.assign(filter, changes);
    rememberQuery(changes);
    if (isNewList) {
      turn += 1;
      jobs = new Map();
      await load();
    } else {
      draw();
    }
    await searchOn();
  }

  const asked = () => ({ status: filter.status, kind: filter.kind });
  const listed = () => [...jobs.values()].filter((job) => !filter.text || matches(job, filter.text)).sort((a, b) => (a.id < b.id ? 1 : -1));
  const take = (found) => {
    for (const job of found) {
      if (filter.status && job.status !== filter.status) jobs.delete(job.id);
      else jobs.set(job.id, job);
    }
  };

  /** The next page of older jobs. */
  async function load(limit = PAGE) {
    const mine = turn;
    isLoading = true;
    try {
      const last = [...jobs.keys()].sort()[0];
      const page = await get("/jobs", { ...asked(), limit, after: last }, signal);
      if (mine !== turn) return;
      take(page.data);
      hasMore = page.has_more;
    } finally {
      isLoading = false;
      if (mine === turn) draw();
    }
  }

  /** A text is looked for in what is loaded; where too little of that fits, in older jobs. */
  async function searchOn() {
    const mine = turn;
    const text = filter.text;
    const most = jobs.size + SEARCHED_AT_ONCE;
    while (text && text === filter.text && mine === turn && hasMore && listed().length < PAGE && jobs.size < most) await load(LARGEST_PAGE);
  }

  /** New jobs, and how those stand that have not ended. */
  async function refresh() {
    const mine = turn;
    const page = await get("/jobs", { ...asked(), limit: PAGE }, signal);
    const fresh = new Set(page.data.map((job) => job.id));
    const older = [...jobs.values()].filter((job) => !hasEnded(job) && !fresh.has(job.id));
    const again = await Promise.all(older.slice(0, PAGE).map((job) => get(path`/jobs/${job.id}`, {}, signal)));
    if (mine !== turn) return;
    const overlaps = page.data.some((job) => jobs.has(job.id));
    if (!overlaps && page.has_more) jobs = new Map(); // so many are new that there would be a gap
    if (jobs.size === 0) hasMore = page.has_more;
    take([...page.data, ...again]);
    draw();
    return [...jobs.values()].some((job) => !hasEnded(job)) ? BUSY_SECONDS : IDLE_SECONDS;
  }

  function onChange(job) {
    take([job]);
    draw();
  }

  function draw() {
    const shown = listed();
    keyed(body, shown, (job) => job.id, (job) => jobRow(job, { selected, onSelect: drawSelection, onChange }), rows);
    const isFiltered = Boolean(filter.status || filter.kind || filter.text);
    patch(empty, [shown.length === 0 && !isLoading, isFiltered, hasMore], () => (shown.length || isLoading ? null : isFiltered ? nothingFits() : noJobs()));
    patch(foot, [shown.length, jobs.size, hasMore, filter.text], () => footer(shown.length));
    foot.hidden = jobs.size === 0;
    drawSelection();
  }

  function footer(number) {
    const words = filter.text ? `${number} of the ${jobs.size} newest jobs fit` : `${number} ${number === 1 ? "job" : "jobs"}${hasMore ? " shown" : ""}`;
    const label = filter.text ? "Search older jobs" : "Load more";
    return [h("span", { role: "status" }, words),
      hasMore ? h("button", { type: "button", class: "button small", onclick: () => load(filter.text ? LARGEST_PAGE : PAGE * 2).catch(toastProblem) }, label) : null];
  }

  function drawSelection() {
    const ids = [...selected];
    patch(bar, ids, () => ids.length === 0 ? null : h("div", { class: "selection-bar" },
      h("span", { role: "status" }, `${ids.length} selected`),
      ids.length > 1
        ? h("a", { class: "button primary small", href: href("/compare", { jobs: ids.join(",") }) }, icon("compare"), "Compare")
        : h("span", { class: "muted" }, "Select another one to compare them."),
      h("button", { type: "button", class: "button ghost small", onclick: clear }, "Clear")));
  }

  function clear() {
    selected.clear();
    draw();
  }

  await load();
  root.dataset.ready = "true";
  searchOn().catch(toastProblem);
  poll(refresh, { signal, seconds: IDLE_SECONDS }).catch(toastProblem);
}

function newJobLink() {
  return match(ROUTES, "/new") ? h("a", { class: "button primary", href: href("/new") }, icon("plus"), "New job") : null;
}

function noJobs() {
  return emptyState({
    title: "No job yet",
    text: "A job fine-tunes a model on your data. Upload labelled text and submit one; it shows up here by itself, with its loss curve.",
    action: newJobLink() ?? codeBlock(FIRST_STEP, { label: "from a terminal" }),
  });
}

function nothingFits() {
  return emptyState({ title: "No job fits", text: "Choose another status or kind, or search for another word." });
}
