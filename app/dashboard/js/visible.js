/** Waiting that stops when nobody looks. */

/** @param {AbortSignal} signal @returns {Promise<void>} once the tab is visible. Raises AbortError. */
export function untilVisible(signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new DOMException("nobody waits", "AbortError"));
    if (!document.hidden) return resolve();
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      if (signal.aborted) reject(new DOMException("nobody waits", "AbortError"));
      else resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
  });
}

/** @param {number} seconds @param {AbortSignal} signal @returns {Promise<void>} Raises AbortError. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new DOMException("nobody waits", "AbortError"));
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("nobody waits", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** @param {AbortSignal} parent @returns {AbortController} one that is aborted with it, or alone */
export function childOf(parent) {
  const controller = new AbortController();
  if (parent.aborted) controller.abort();
  else parent.addEventListener("abort", () => controller.abort(), { once: true, signal: controller.signal });
  return controller;
}
