/** A job while someone looks at it: its events as they happen, and its state, until it has ended. */

import { get, pages, path } from "../api.js";
import { toastProblem } from "../components/problem.js";
import { poll } from "../live.js";
import { follow } from "../sse.js";
import { hasEnded } from "./words.js";

const LIVE_SECONDS = 1.5;
const WAITING_SECONDS = 5;
const PAGE = 1000;

/**
 * @typedef {{id: string, number: number, created_at: string, level: string, type: string, message: string, data: Object|null}} JobEvent
 * @typedef {{job: import("./words.js").Job, events: JobEvent[], onJob: (listener: (job: *) => void) => void, onEvent: (listener: (events: JobEvent[]) => void) => void, take: (job: *) => void, needEvents: () => Promise<void>, hasMistakes: boolean}} JobFeed
 *   `take`: a newer state that someone else was told; `needEvents`: have them read, if nothing follows them; `hasMistakes`: it is known that there are some to be shown
 */

/** @param {*} first the job as it stands @param {AbortSignal} signal @returns {JobFeed} */
export function jobFeed(first, signal) {
  const onJob = [];
  const onEvent = [];
  const feed = {
    job: first,
    events: [],
    onJob: (listener) => onJob.push(listener),
    onEvent: (listener) => onEvent.push(listener),
    take,
    needEvents: () => Promise.resolve(),
    hasMistakes: false,
  };
  let isAsking = false;
  let again = false;

  function take(job) {
    const wasOver = hasEnded(feed.job);
    feed.job = job;
    for (const listener of onJob) listener(job);
    if (wasOver && !hasEnded(job)) live();
  }

  /** Ask for the state, once at a time; what happens meanwhile is asked for afterwards. */
  async function refresh() {
    if (isAsking) {
      again = true;
      return;
    }
    isAsking = true;
    try {
      do {
        again = false;
        take(await get(path`/jobs/${first.id}`, {}, signal));
      } while (again);
    } finally {
      isAsking = false;
    }
  }

  function live() {
    follow(path`/jobs/${first.id}/events`, {
      signal,
      isOver: () => hasEnded(feed.job),
      onEvent(message) {
        const event = JSON.parse(message.data);
        feed.events.push(event);
        for (const listener of onEvent) listener(feed.events);
        if (isNews(event)) refresh().catch(() => {});
      },
    }).then(() => hasEnded(feed.job) || signal.aborted || refresh()).catch(toastProblem);
    poll(async () => {
      if (hasEnded(feed.job)) return null;
      await refresh();
      return hasEnded(feed.job) ? null : feed.job.status === "running" ? LIVE_SECONDS : WAITING_SECONDS;
    }, { signal, seconds: LIVE_SECONDS }).catch(toastProblem);
  }

  /** Events that were there when the page was loaded tell of a state that is known already. */
  function isNews(event) {
    return new Date(event.created_at).getTime() > Date.now() - 60_000 && event.type !== "message";
  }

  if (hasEnded(first)) {
    let reading = null;
    feed.needEvents = () =>
      (reading ??= (async () => {
        for await (const page of pages(path`/jobs/${first.id}/events`, { limit: PAGE }, signal)) {
          feed.events.push(...page.data);
          for (const listener of onEvent) listener(feed.events);
        }
      })());
  } else {
    live();
  }
  return feed;
}
