/** Asking again and again: never while the tab is hidden, slower while the server is away, no longer than wanted. */

import { ApiError, isAbort } from "./api.js";
import { pause, untilVisible } from "./visible.js";

const SLOWEST_SECONDS = 30;

/**
 * @param {() => Promise<number|null|void>} ask answers after how many seconds to ask again, null for never
 * @param {{signal: AbortSignal, seconds?: number}} options `seconds`: where `ask` says nothing
 * @returns {Promise<void>} when there is nothing more to ask. Raises what is not the API's fault.
 */
export async function poll(ask, { signal, seconds = 3 }) {
  let failures = 0;
  try {
    for (;;) {
      await untilVisible(signal);
      let wait = seconds;
      try {
        const told = await ask();
        if (told === null) return;
        wait = told ?? seconds;
        failures = 0;
      } catch (error) {
        if (!(error instanceof ApiError) || !isPassing(error)) throw error;
        failures += 1;
        wait = Math.max(error.retryAfterSeconds ?? 0, backOff(failures));
      }
      await pause(wait, signal);
    }
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
}

/** @param {ApiError} error @returns {boolean} whether the same may be answered later */
export function isPassing(error) {
  return error.status === 0 || error.status === 429 || error.status >= 500;
}

/** @param {number} failures in a row, from 1 @returns {number} seconds; drawn, so that many tabs do not come at once */
export function backOff(failures) {
  return Math.min(SLOWEST_SECONDS, 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
}
