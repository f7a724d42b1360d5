/**
 * The curves of one or several runs: a chart for each metric, with the same smoothing.
 *
 * @typedef {{id: string, name: string, isLive: () => boolean}} Run
 */

import { h, patch } from "../dom.js";
import { count, figure } from "../format.js";
import { table } from "../components/table.js";
import { lineChart } from "./chart.js";
import { lineSample } from "./line-sample.js";
import { metricFeed } from "./metric-feed.js";

const DASHES = ["solid", "dash", "dot", "dashdot"];
const COLOURS = 8;
/** Before it can be drawn by itself a curve needs so many points. */
const FEWEST = 1;
const FIRST = ["train/loss", "eval/loss"];
const LAST = ["train/learning_rate", "train/grad_norm"];
/** Drawn together, because they are compared with each other. */
const TOGETHER = { "eval/loss": "train/loss" };

/** @param {number} index of the run @returns {{colour: string, dash: string}} told apart from all others */
export function lineStyle(index) {
  return { colour: `--line-${(index % COLOURS) + 1}`, dash: DASHES[Math.floor(index / COLOURS) % DASHES.length] };
}

/**
 * @param {{runs: Run[], signal: AbortSignal, onLoaded?: (feeds: Map<string, *>) => void}} options
 * @returns {{element: HTMLElement, add: (run: Run) => void, feeds: Map<string, ReturnType<typeof metricFeed>>}}
 */
export function curvesPanel({ runs: first, signal, onLoaded }) {
  /** @type {Run[]} */
  const runs = [];
  const feeds = new Map();
  const charts = new Map();
  let smoothing = 0;
  let isWaiting = false;

  const slider = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, id: "smoothing", oninput: () => {
    smoothing = Number(slider.value);
    shown.textContent = smoothing ? smoothing.toFixed(2) : "off";
    drawSoon();
  } });
  const shown = h("output", { for: "smoothing", class: "number muted" }, "off");
  const state = h("span", { class: "muted small", role: "status" });
  const legend = h("ul", { class: "legend", "aria-label": "Runs" });
  const grid = h("div", { class: "chart-grid" });
  const values = h("div");
  const element = h("div", { class: "stack" },
    h("div", { class: "toolbar" }, h("label", { for: "smoothing", class: "small" }, "Smoothing"), slider, shown, legend, state), grid, values);

  function drawSoon() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      if (!signal.aborted) draw();
    });
  }

  function metricNames() {
    const names = new Set([...feeds.values()].flatMap((feed) => [...feed.series].filter(([, series]) => series.length >= FEWEST).map(([name]) => name)));
    const place = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) - FIRST.length : LAST.includes(name) ? 1 : 0);
    return [...names].filter((name) => !(TOGETHER[name] && names.has(TOGETHER[name]) && runs.length === 1)).sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
  }

  function linesOf(name) {
    return runs.flatMap((run, i) => {
      const { series } = feeds.get(run.id);
      const also = runs.length === 1 ? Object.keys(TOGETHER).filter((each) => TOGETHER[each] === name) : [];
      return [name, ...also].filter((each) => series.has(each)).map((each, j) => ({
        name: runs.length > 1 ? run.name : each, series: series.get(each), ...lineStyle(i + j),
      }));
    });
  }

  function draw() {
    const names = metricNames();
    for (const name of names) {
      if (!charts.has(name)) charts.set(name, lineChart({ title: titleOf(name), signal }));
      charts.get(name).draw(linesOf(name), { smoothing, showsKeys: runs.length === 1 });
    }
    patch(grid, names, () => names.map((name) => charts.get(name).element));
    const total = [...feeds.values()].reduce((sum, feed) => sum + [...feed.series.values()].reduce((all, one) => all + one.length, 0), 0);
    const isLoading = [...feeds.values()].some((feed) => !feed.isComplete());
    patch(state, [total, isLoading], () => isLoading ? `Loading: ${count(total)} points so far …` : total ? `${count(total)} points` : "No points yet; the first come a few steps after training began.");
    patch(legend, runs.map((run) => run.id), () => (runs.length > 1 ? runs.map((run, i) => h("li", null, lineSample(lineStyle(i)), run.name)) : null));
    drawValues();
  }

  function titleOf(name) {
    const also = runs.length === 1 ? Object.keys(TOGETHER).filter((each) => TOGETHER[each] === name && [...feeds.values()].some((feed) => feed.series.has(each))) : [];
    return [name, ...also].join(" and ");
  }

  /** The evaluations as numbers, for those who do not see the charts, and those who want to copy them. */
  function drawValues() {
    const rows = runs.flatMap((run) => evaluations(run, feeds.get(run.id).series));
    const names = [...new Set(rows.flatMap((row) => Object.keys(row.values)))].sort();
    patch(values, rows, () => rows.length === 0 ? null : h("details", { class: "card" }, h("summary", { class: "card-body" }, `The ${rows.length} evaluations as a table`),
      table({ label: "Evaluations", rows, columns: [
        ...(runs.length > 1 ? [{ label: "Run", cell: (row) => row.run }] : []),
        { label: "Step", numeric: true, isHeader: true, cell: (row) => count(row.step) },
        ...names.map((name) => ({ label: name.replace("eval/", ""), numeric: true, cell: (row) => figure(row.values[name]) })),
      ] })));
  }

  function add(run) {
    runs.push(run);
    const feed = metricFeed(run.id, { signal, isLive: run.isLive, onPoints: drawSoon });
    feeds.set(run.id, feed);
    feed.done.then(() => onLoaded?.(feeds), (error) => (state.textContent = error.message));
    drawSoon();
  }

  first.forEach(add);
  return { element, add, feeds };
}

function evaluations(run, series) {
  const bySteps = new Map();
  for (const [name, one] of series) {
    if (!name.startsWith("eval/") && !name.startsWith("test/")) continue;
    one.steps.forEach((step, i) => bySteps.set(step, { ...bySteps.get(step), [name]: one.values[i] }));
  }
  return [...bySteps].sort(([a], [b]) => a - b).map(([step, found]) => ({ run: run.name, step, values: found }));
}
