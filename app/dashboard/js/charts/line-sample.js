import { svg } from "../dom.js";

const DASHES = { solid: null, dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };

/** @param {{colour: string, dash: string}} line @returns {SVGElement} a piece of it, for a legend */
export function lineSample({ colour, dash }) {
  return svg("svg", { class: "line-sample", viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" },
    svg("path", { d: "M1 4h20", fill: "none", "stroke-width": 2.5, "stroke-dasharray": DASHES[dash], style: { stroke: `var(${colour})` } }));
}
