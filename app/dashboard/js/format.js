/** Numbers, durations and instants in words. All give strings; `time` gives an element. */

import { h } from "./dom.js";

export const NONE = "–";

const whole = new Intl.NumberFormat("en");
const precise = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clockOnly = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** @param {number|null|undefined} value such as 1,234,567 */
export function count(value) {
  return value === null || value === undefined ? NONE : whole.format(value);
}

/**
 * A measured value with as many digits as mean something.
 * @param {number|null|undefined} value
 * @param {number} [digits] significant ones
 */
export function figure(value, digits = 4) {
  if (value === null || value === undefined) return NONE;
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return whole.format(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(Math.max(0, digits - 2)).replace("e+", "e");
  return size >= 1000 ? value.toFixed(1) : String(Number(value.toPrecision(digits)));
}

/** @param {number|null|undefined} fraction from 0 to 1 */
export function percent(fraction, digits = 0) {
  return fraction === null || fraction === undefined ? NONE : `${(fraction * 100).toFixed(digits)} %`;
}

/** @param {number|null|undefined} seconds as "45 s", "3 min 5 s", "2 h 4 min", "3 d 2 h" */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  if (seconds < 10) return `${seconds < 0.95 ? Math.max(0, seconds).toFixed(1) : Math.round(seconds)} s`;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  if (all < 3600) return parts(Math.floor(all / 60), "min", all % 60, "s");
  if (all < 86400) return parts(Math.floor(all / 3600), "h", Math.floor((all % 3600) / 60), "min");
  return parts(Math.floor(all / 86400), "d", Math.floor((all % 86400) / 3600), "h");
}

function parts(first, firstUnit, second, secondUnit) {
  return second ? `${first} ${firstUnit} ${second} ${secondUnit}` : `${first} ${firstUnit}`;
}

/** @param {number|null|undefined} bytes */
export function bytes(bytes) {
  if (bytes === null || bytes === undefined) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = bytes;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : Number(size.toPrecision(3))} ${units[unit]}`;
}

/** @param {string|Date} instant @param {Date} [now] such as "3 min ago" or "in 2 h" */
export function relative(instant, now = new Date()) {
  const seconds = (now.getTime() - new Date(instant).getTime()) / 1000;
  const size = Math.abs(seconds);
  if (size < 5) return "just now";
  const [amount, unit] =
    size < 60 ? [size, "s"] : size < 3600 ? [size / 60, "min"] : size < 86400 ? [size / 3600, "h"] : [size / 86400, "d"];
  const words = `${Math.floor(amount)} ${unit}`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

/** @param {string} instant with date and seconds, in the user's own time zone */
export function absolute(instant) {
  return precise.format(new Date(instant));
}

/** @param {string} instant the time of day alone */
export function clock(instant) {
  return clockOnly.format(new Date(instant));
}

/**
 * A `<time>` that says how long ago, with the exact instant as its title. It is kept up to date while it is on the page.
 * @param {string|null|undefined} instant
 * @returns {Node|string}
 */
export function time(instant) {
  if (!instant) return NONE;
  return h("time", { datetime: instant, title: absolute(instant), "data-relative": true, class: "nowrap" }, relative(instant));
}

/** Refresh every relative time on the page. */
export function tickTimes() {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const words = relative(element.getAttribute("datetime"));
    if (element.textContent !== words) element.textContent = words;
  }
}

/** @param {string} id of anything: its kind and the end that tells it from others */
export function shortId(id) {
  const dash = id.indexOf("-");
  return dash > 0 && id.length - dash > 12 ? `${id.slice(0, dash)}-…${id.slice(-8)}` : id;
}
