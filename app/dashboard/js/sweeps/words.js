/** How a sweep stands, in words. @typedef {Object<string, *>} Sweep as `GET /sweeps/{sweep_id}` answers */

import { count, figure } from "../format.js";

const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/** @param {Sweep} sweep */
export function hasEnded(sweep) {
  return ENDED.has(sweep.status);
}

/** @param {Sweep} sweep @returns {string} */
export function sweepName(sweep) {
  return sweep.metadata?.name || sweep.spec.job.suffix || Object.keys(sweep.spec.space).map(shortField).join(", ");
}

/** @param {string} path @returns {string} */
export function shortField(path) {
  return path.replace(/^(training|adapter)\./, "");
}

/** @param {Sweep} sweep @returns {number} trials that are over */
export function numDone({ counts }) {
  return counts.complete + counts.pruned + counts.failed + counts.cancelled;
}

/** @param {Sweep} sweep @returns {string} */
export function standing(sweep) {
  const { counts } = sweep;
  const words = [`${count(numDone(sweep))} of ${count(counts.total)} trials`];
  for (const state of ["running", "pruned", "failed", "cancelled"]) if (counts[state]) words.push(`${count(counts[state])} ${state}`);
  return words.join(" · ");
}

/** @param {*} value of a parameter */
export function paramWords(value) {
  return typeof value === "number" ? figure(value) : typeof value === "string" ? value : JSON.stringify(value);
}

/** @param {Sweep} sweep @returns {boolean} */
export function isMinimized(sweep) {
  return sweep.spec.direction === "minimize";
}
