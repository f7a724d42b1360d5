/** How something stands: a shape and a word, so that colour is not all there is. */

import { h } from "../dom.js";
import { icon } from "./icons.js";

const SHAPES = {
  queued: "circle", running: "half", paused: "pause", succeeded: "check", failed: "cross", cancelled: "slash",
  ok: "check", bad: "cross", warn: "warn", info: "info", idle: "circle",
};

/**
 * @param {string} status of a job, or one of ok, bad, warn, info, idle
 * @param {string} [word] what it says, if that is not the status itself
 * @returns {HTMLElement}
 */
export function statusBadge(status, word = status) {
  return h("span", { class: `badge ${status}` }, icon(SHAPES[status] ?? "circle", 13), word);
}

/** @param {string} word @returns {HTMLElement} a small neutral label */
export function tag(word) {
  return h("span", { class: "tag" }, word);
}
