/** Line icons of our own, 16 by 16, hidden from screen readers: a word stands beside each, or a label names its button. */

import { svg } from "../dom.js";

/** @type {Object<string, string>} */
const PATHS = {
  jobs: "M2.5 4h11M2.5 8h11M2.5 12h7",
  plus: "M8 3v10M3 8h10",
  data: "M3 4c0-1.1 2.2-2 5-2s5 .9 5 2-2.2 2-5 2-5-.9-5-2zm0 0v8c0 1.1 2.2 2 5 2s5-.9 5-2V4M3 8c0 1.1 2.2 2 5 2s5-.9 5-2",
  chat: "M2.5 3h11v8h-6l-3 2.5V11h-2z",
  compare: "M2 13h12M3 10l3-4 3 2 4-5",
  model: "M8 2l5.5 3v6L8 14l-5.5-3V5zM2.5 5L8 8l5.5-3M8 8v6",
  sweep: "M2.5 13.5v-11M2.5 13.5h11M5 10.5h.01M7.5 6.5h.01M10 9h.01M12.5 4h.01",
  chip: "M4.5 4.5h7v7h-7zM6.5 2v2.5M9.5 2v2.5M6.5 11.5V14M9.5 11.5V14M2 6.5h2.5M2 9.5h2.5M11.5 6.5H14M11.5 9.5H14",
  book: "M3 2.5h8.5A1.5 1.5 0 0 1 13 4v9.5H4.5A1.5 1.5 0 0 1 3 12zM3 12a1.5 1.5 0 0 1 1.5-1.5H13",
  key: "M9.5 6.5L3 13v1h2.5v-1.5H7V11l1.5-1.5M11 2.5a2.5 2.5 0 1 1-.01 5.01A2.5 2.5 0 0 1 11 2.5z",
  sun: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z",
  display: "M2 3h12v8H2zM6 14h4M8 11v3",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5l3.2 3L13 4.5",
  cross: "M4 4l8 8M12 4l-8 8",
  circle: "M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3z",
  half: "M8 2.5a5.5 5.5 0 1 1-5.5 5.5M8 2.5A5.5 5.5 0 0 0 4 4.2",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3l7.5 5L5 13z",
  stop: "M4 4h8v8H4z",
  slash: "M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3zM4.5 11.5l7-7",
  retry: "M3 8a5 5 0 1 0 1.6-3.7M3 2.5V5h2.5",
  warn: "M8 2.5L14 13H2zM8 6.5v3M8 11.4v.1",
  info: "M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11zM8 7.5v3.5M8 5v.1",
  dot: "M8 7.9v.2",
  down: "M8 2.5v8M4.5 7.5L8 11l3.5-3.5M3 13.5h10",
  external: "M9 3h4v4M13 3L7 9M11 9.5V13H3V5h3.5",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.3 10.3L14 14",
  trash: "M3 4.5h10M6 4.5v-2h4v2M4.5 4.5l.5 9h6l.5-9",
  upload: "M8 13.5v-8M4.5 8L8 4.5 11.5 8M3 2.5h10",
};

/** @param {string} name @param {number} [size] @returns {SVGElement} */
export function icon(name, size = 16) {
  return svg(
    "svg",
    { viewBox: "0 0 16 16", width: size, height: size, fill: "none", stroke: "currentColor", "stroke-width": 1.6,
      "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] ?? PATHS.dot }),
  );
}
