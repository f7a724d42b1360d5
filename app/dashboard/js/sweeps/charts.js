/** What the trials of a sweep tell: how the best value came about, and how each parameter goes with the value. */

import { shareBar } from "../components/progress.js";
import { h, patch } from "../dom.js";
import { figure, percent } from "../format.js";
import { scatterChart } from "./scatter.js";
import { isMinimized, paramWords, shortField } from "./words.js";

const STATES = { complete: ["--line-1", "circle"], pruned: ["--line-2", "x"], running: ["--line-8", "circle-open"] };

/**
 * @param {import("./words.js").Sweep} sweep
 * @param {{signal: AbortSignal}} options
 * @returns {{element: HTMLElement, draw: (sweep: *, trials: *[]) => void}}
 */
export function sweepCharts(sweep, { signal }) {
  const history = scatterChart({ title: `${sweep.spec.metric} by trial`, xTitle: "trial", signal });
  const byParam = Object.entries(sweep.spec.space).map(([path, range]) => ({ path, chart: scatterChart({ title: shortField(path), xTitle: path, isLog: range.log, signal }) }));
  const importances = h("div");
  const element = h("div", { class: "chart-grid" }, history.element, importances, byParam.map((one) => one.chart.element));
  return { element, draw(now, trials) {
    const seen = trials.map((trial) => ({ ...trial, shown: trial.value ?? trial.intermediate_values.at(-1)?.value ?? null })).filter((trial) => trial.shown !== null);
    history.draw([...groups(seen, (trial) => trial.number), bestLine(now, seen)], `Values of ${seen.length} trials. ${now.best ? `The best is ${figure(now.best.value)}, of trial ${now.best.trial}.` : ""}`);
    for (const { path, chart } of byParam) {
      const isNumber = seen.every((trial) => typeof trial.params[path] === "number");
      chart.draw(groups(seen, (trial) => (isNumber ? trial.params[path] : paramWords(trial.params[path]))), `${now.spec.metric} by ${path}, ${seen.length} trials; the table of trials has the values.`);
    }
    patch(importances, now.importances, () => importanceBars(now.importances));
  } };
}

function groups(seen, x) {
  return Object.entries(STATES).map(([state, [colour, symbol]]) => {
    const own = seen.filter((trial) => trial.state === state);
    return { name: state, colour, symbol, x: own.map(x), y: own.map((trial) => trial.shown),
      text: own.map((trial) => [`trial ${trial.number} (${state}): ${figure(trial.shown)}`, ...Object.entries(trial.params).map(([path, value]) => `${shortField(path)}: ${plain(paramWords(value))}`)].join("<br>")) };
  });
}

/** Plotly reads a few tags in what it shows on hover; text of users is to stay text. */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function bestLine(sweep, seen) {
  const better = isMinimized(sweep) ? Math.min : Math.max;
  const done = seen.filter((trial) => trial.value !== null);
  let best = null;
  const y = done.map((trial) => (best = best === null ? trial.value : better(best, trial.value)));
  return { name: "best so far", isLine: true, colour: "--line-3", x: done.map((trial) => trial.number), y };
}

function importanceBars(importances) {
  const all = Object.entries(importances ?? {}).sort((a, b) => b[1] - a[1]);
  return h("section", { class: "card chart" }, h("div", { class: "card-head" }, h("h3", null, "What matters")), h("div", { class: "card-body" }, all.length === 0
    ? h("p", { class: "muted" }, "How much each parameter matters is told once ten trials are complete.")
    : h("ul", { class: "bars plain" }, all.map(([path, part]) => h("li", null, h("span", { class: "clip", title: path }, shortField(path)),
      shareBar(part), h("span", { class: "number" }, percent(part)))))));
}
