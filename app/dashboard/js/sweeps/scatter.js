/** Points in a chart of their own: trials by their number, or by a parameter. */

import { loadPlotly } from "../charts/plotly.js";
import { h, replace, uniqueId } from "../dom.js";
import { THEME_CHANGED, colour } from "../theme.js";

/**
 * @typedef {{x: *[], y: number[], name: string, text?: string[], colour: string, isLine?: boolean, symbol?: string}} Points
 * @param {{title: string, xTitle: string, isLog?: boolean, signal: AbortSignal}} options
 * @returns {{element: HTMLElement, draw: (points: Points[], description: string) => void}}
 */
export function scatterChart({ title, xTitle, isLog = false, signal }) {
  const titleId = uniqueId("chart");
  const plot = h("div", { class: "chart-plot", role: "img", "aria-labelledby": titleId }, h("div", { class: "placeholder" }, "…"));
  const element = h("section", { class: "card chart", "aria-labelledby": titleId }, h("div", { class: "card-head" }, h("h3", { id: titleId }, title)), plot);
  let points = [];
  let library = null;
  let isEmptied = false;

  document.addEventListener(THEME_CHANGED, redraw, { signal });
  new ResizeObserver(redraw).observe(plot);
  signal.addEventListener("abort", () => library?.purge(plot));

  function redraw() {
    if (!library || signal.aborted || plot.clientWidth === 0) return;
    if (!isEmptied) replace(plot);
    isEmptied = true;
    const [text, grid, surface] = [colour("--text-muted"), colour("--border"), colour("--surface")];
    const axis = { gridcolor: grid, linecolor: grid, zeroline: false, tickfont: { color: text, size: 11 }, fixedrange: true };
    const traces = points.map((one) => ({
      type: "scatter", mode: one.isLine ? "lines" : "markers", x: one.x, y: one.y, name: one.name, text: one.text, hoverinfo: one.isLine ? "skip" : "text",
      line: { color: colour(one.colour), width: 1.8, shape: "hv" }, marker: { color: colour(one.colour), size: 8, symbol: one.symbol ?? "circle", opacity: 0.85 },
    }));
    library.react(plot, traces, {
      height: plot.clientHeight - 8, width: plot.clientWidth - 8, margin: { l: 52, r: 12, t: 8, b: 38 }, paper_bgcolor: surface, plot_bgcolor: surface,
      showlegend: false, font: { family: getComputedStyle(plot).fontFamily, color: text, size: 12 }, hovermode: "closest", dragmode: false,
      hoverlabel: { bgcolor: surface, bordercolor: grid, font: { color: colour("--text") } },
      xaxis: { ...axis, type: isLog ? "log" : undefined, title: { text: xTitle, font: { size: 11 }, standoff: 4 } }, yaxis: axis,
    }, { displayModeBar: false });
  }

  return {
    element,
    draw(next, description) {
      points = next;
      plot.setAttribute("aria-label", description);
      if (library) return redraw();
      loadPlotly().then((loaded) => {
        library = loaded;
        redraw();
      }, (error) => replace(plot, h("div", { class: "placeholder" }, error.message)));
    },
  };
}
