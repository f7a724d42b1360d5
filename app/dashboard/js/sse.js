/**
 * Server-sent events by `fetch`, because `EventSource` cannot send a key.
 *
 * @typedef {{id: string|null, event: string, data: string}} StreamEvent
 */

import { ApiError, isAbort, request, tellConnection } from "./api.js";
import { backOff, isPassing } from "./live.js";
import { childOf, pause, untilVisible } from "./visible.js";

/**
 * Follow a stream through cuts, restarts of the server and times in which the tab is hidden: each time it goes on behind the
 * last event that was handed over, so that none is missing and none comes twice.
 *
 * @param {string} path
 * @param {{signal: AbortSignal, onEvent: (event: StreamEvent) => void, isOver: () => boolean, lastId?: string|null}} options
 *   `isOver`: whether the end of a stream is the end of the story
 * @returns {Promise<void>} when the story is over or nobody waits. Raises ApiError for what will not pass.
 */
export async function follow(path, { signal, onEvent, isOver, lastId = null }) {
  let failures = 0;
  let last = lastId;
  try {
    for (;;) {
      await untilVisible(signal);
      const visit = childOf(signal);
      const hide = () => document.hidden && visit.abort();
      document.addEventListener("visibilitychange", hide);
      let got = 0;
      try {
        for await (const event of open(path, last, visit.signal)) {
          got += 1;
          failures = 0;
          onEvent(event);
          last = event.id ?? last;
        }
      } catch (error) {
        if (!isAbort(error) && !(error instanceof ApiError && isPassing(error))) throw error;
      } finally {
        document.removeEventListener("visibilitychange", hide);
        visit.abort();
      }
      signal.throwIfAborted();
      if (isOver()) return;
      if (document.hidden) continue;
      failures = got ? 1 : failures + 1;
      await pause(backOff(failures), signal);
    }
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
}

/** @returns {AsyncGenerator<StreamEvent>} until the connection ends, however it does */
async function* open(path, lastId, signal) {
  const headers = { accept: "text/event-stream", ...(lastId === null ? {} : { "last-event-id": lastId }) };
  const response = await request(path, { headers, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  for (;;) {
    let chunk;
    try {
      chunk = await reader.read();
    } catch (error) {
      if (isAbort(error)) throw error;
      tellConnection(false);
      return;
    }
    if (chunk.done) return;
    yield* parser.feed(chunk.value);
  }
}

/** The format of https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream. */
export class EventParser {
  #rest = "";
  #data = [];
  #event = "";
  #id = null;

  /** @param {string} text @returns {Generator<StreamEvent>} events that are whole now */
  *feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) yield { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") };
        this.#data = [];
        this.#event = "";
      } else if (!line.startsWith(":")) {
        this.#take(line);
      }
    }
  }

  #take(line) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id") this.#id = value;
  }
}
