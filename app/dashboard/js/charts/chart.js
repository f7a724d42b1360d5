/**
 * A chart of lines over steps: zoom by dragging or with buttons, values on hover, a logarithmic axis, finer points where it is
 * zoomed into.
 *
 * @typedef {{name: string, colour: string, dash: string, series: import("./series.js").Series}} Line
 */

import { icon } from "../components/icons.js";
import { h, patch, replace, uniqueId } from "../dom.js";
import { count, figure } from "../format.js";
import { THEME_CHANGED, colour } from "../theme.js";
import { lineSample } from "./line-sample.js";
import { loadPlotly } from "./plotly.js";
import { decimate, smooth } from "./series.js";

const ZOOM = 0.5;
/** Least milliseconds between two drawings of the same chart. */
const REDRAW_MS = 250;

/**
 * @param {{title: string, signal: AbortSignal}} options of `draw`: `showsKeys`, whether the heading says which line is which
 * @returns {{element: HTMLElement, draw: (lines: Line[], options: {smoothing: number, showsKeys?: boolean}) => void}}
 */
export function lineChart({ title, signal }) {
  const titleId = uniqueId("chart");
  const plot = h("div", { class: "chart-plot", role: "img", "aria-label": `Chart of ${title}, not drawn yet` }, h("div", { class: "placeholder" }, "…"));
  const heading = h("h3", { id: titleId, class: "row" }, title);
  const log = h("button", { type: "button", class: "button ghost small", "aria-pressed": "false", onclick: toggleLog }, "Log");
  const zoomOut = h("button", { type: "button", class: "button ghost small", hidden: true, onclick: () => zoomTo(null) }, "Reset zoom");
  const zoomIn = h("button", { type: "button", class: "button ghost icon", "aria-label": `Zoom into the end of ${title}`, title: "Zoom into the end", onclick: zoomToEnd },
    icon("search"));
  const element = h("section", { class: "card chart", "aria-labelledby": titleId },
    h("div", { class: "card-head" }, heading, h("div", { class: "row" }, zoomOut, zoomIn, log)), plot);

  /** @type {Line[]} */
  let lines = [];
  let smoothing = 0;
  let isLog = false;
  /** @type {[number, number]|null} */
  let range = null;
  let library = null;
  let isLoading = false;
  let timer = 0;
  let isDrawing = false;
  const averages = new WeakMap();

  document.addEventListener(THEME_CHANGED, redrawSoon, { signal });
  new ResizeObserver(redrawSoon).observe(plot);
  signal.addEventListener("abort", () => library?.purge(plot));

  function toggleLog() {
    isLog = !isLog;
    log.setAttribute("aria-pressed", String(isLog));
    redrawSoon();
  }

  function zoomTo(next) {
    range = next;
    zoomOut.hidden = range === null;
    redrawSoon();
  }

  /** The later half of what is shown: where a curve that went down quickly goes on. */
  function zoomToEnd() {
    const [from, to] = range ?? extent();
    if (to > from) zoomTo([to - (to - from) * ZOOM, to]);
  }

  function extent() {
    const filled = lines.filter((line) => line.series.length);
    return [Math.min(...filled.map((line) => line.series.steps[0])), Math.max(...filled.map((line) => line.series.steps[line.series.length - 1]))];
  }

  function redrawSoon() {
    if (timer || !library) return;
    timer = setTimeout(() => {
      timer = 0;
      if (!signal.aborted && plot.clientWidth > 0) redraw();
    }, REDRAW_MS);
  }

  async function start() {
    isLoading = true;
    try {
      library = await loadPlotly();
    } catch (error) {
      replace(plot, h("div", { class: "placeholder" }, error.message));
      return;
    } finally {
      isLoading = false;
    }
    if (signal.aborted) return;
    replace(plot);
    redraw();
    plot.on("plotly_relayout", (change) => {
      if (isDrawing) return;
      if (change["xaxis.autorange"]) zoomTo(null);
      else if (change["xaxis.range[0]"] !== undefined) zoomTo([Number(change["xaxis.range[0]"]), Number(change["xaxis.range[1]"])]);
    });
  }

  function averaged(series) {
    const known = averages.get(series);
    if (known && known.version === series.version && known.smoothing === smoothing) return known.values;
    const values = smooth(series.values, smoothing);
    averages.set(series, { version: series.version, smoothing, values });
    return values;
  }

  function traces() {
    const buckets = Math.max(200, plot.clientWidth);
    const view = { buckets, ...(range ? { from: range[0], to: range[1] } : {}) };
    return lines.filter((line) => line.series.length).flatMap((line) => {
      const paint = colour(line.colour);
      const few = line.series.length < 25;
      const base = { type: "scatter", mode: few ? "lines+markers" : "lines", marker: { size: 5 }, hoverlabel: { namelength: 40 } };
      const raw = { ...base, ...decimate(line.series.steps, line.series.values, view), name: line.name, line: { color: paint, width: 1.8, dash: line.dash } };
      if (smoothing === 0 || few) return [raw];
      const even = { ...raw, ...decimate(line.series.steps, averaged(line.series), view) };
      return [{ ...raw, opacity: 0.25, hoverinfo: "skip", line: { color: paint, width: 1 } }, even];
    });
  }

  function layout() {
    const [text, grid, surface] = [colour("--text-muted"), colour("--border"), colour("--surface")];
    const axis = { gridcolor: grid, linecolor: grid, zeroline: false, tickfont: { color: text, size: 11 } };
    const canDrag = !matchMedia("(pointer: coarse)").matches; // a finger scrolls the page
    return {
      height: plot.clientHeight - 8, width: plot.clientWidth - 8,
      margin: { l: 52, r: 12, t: 8, b: 34 }, paper_bgcolor: surface, plot_bgcolor: surface, showlegend: false,
      font: { family: getComputedStyle(plot).fontFamily, color: text, size: 12 }, hovermode: "x unified", dragmode: canDrag ? "zoom" : false,
      hoverlabel: { bgcolor: surface, bordercolor: grid, font: { color: colour("--text") } },
      xaxis: { ...axis, title: { text: "step", font: { size: 11 }, standoff: 4 }, ...(range ? { range, autorange: false } : { autorange: true, rangemode: "tozero" }) },
      yaxis: { ...axis, type: isLog ? "log" : "linear", autorange: true, fixedrange: true, exponentformat: "e" },
    };
  }

  async function redraw() {
    isDrawing = true;
    try {
      await library.react(plot, traces(), layout(), { displayModeBar: false, doubleClick: "reset", scrollZoom: false });
    } finally {
      isDrawing = false;
    }
    plot.setAttribute("aria-label", description());
    element.dataset.points = String(lines.reduce((sum, line) => sum + line.series.length, 0));
  }

  function description() {
    const words = lines.filter((line) => line.series.length).map(({ name, series }) => {
      const { steps, values } = series;
      let [low, high] = [Infinity, -Infinity];
      for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
      return `${name}: ${count(series.length)} points, steps ${steps[0]} to ${steps[series.length - 1]}, last ${figure(values[series.length - 1])}, lowest ${figure(low)}, highest ${figure(high)}`;
    });
    return `Chart of ${title}. ${words.join(". ")}`;
  }

  return {
    element,
    draw(next, options) {
      lines = next;
      const keys = options.showsKeys ? next : [];
      patch(heading, keys.map((line) => line.name), () => (keys.length > 1 ? keys.map((line) => [lineSample(line), line.name]) : title));
      smoothing = options.smoothing;
      if (library) redrawSoon();
      else if (!isLoading) start();
    },
  };
}
