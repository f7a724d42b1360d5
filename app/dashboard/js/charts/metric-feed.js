/** The values of a job's metrics: page by page in the background, then only what is new. */

import { get, path } from "../api.js";
import { poll } from "../live.js";
import { Series } from "./series.js";

const PAGE = 1000;
const LIVE_SECONDS = 2;

/**
 * @param {string} jobId
 * @param {{signal: AbortSignal, isLive: () => boolean, onPoints: () => void}} options `isLive`: whether more may come;
 *   `onPoints` is told after each page
 * @returns {{series: Map<string, Series>, epochs: Series, isComplete: () => boolean, done: Promise<void>}} `series` by name of the metric, filled
 *   as they come; `epochs` by step; `done`: nothing more will come
 */
export function metricFeed(jobId, { signal, isLive, onPoints }) {
  /** @type {Map<string, Series>} */
  const series = new Map();
  const epochs = new Series();
  let after = null;
  let isComplete = false;
  async function next() {
    const wasLive = isLive();
    const page = await get(path`/jobs/${jobId}/metrics`, { after, limit: PAGE }, signal);
    for (const point of page.data) {
      if (!series.has(point.name)) series.set(point.name, new Series());
      series.get(point.name).put(point.step, point.value);
      epochs.put(point.step, point.epoch);
    }
    after = page.last_id;
    isComplete = !page.has_more;
    if (page.data.length || isComplete) onPoints();
    if (page.has_more) return 0;
    return wasLive ? LIVE_SECONDS : null;
  }
  const done = poll(next, { signal, seconds: LIVE_SECONDS });
  return { series, epochs, isComplete: () => isComplete, done };
}
