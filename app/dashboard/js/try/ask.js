/** Asking a model: all at once, or piece by piece. */

import { ApiError, post, request } from "../api.js";
import { EventParser } from "../sse.js";

/** @param {*} body of `POST /predict` @param {AbortSignal} signal @returns {Promise<*>} its answer */
export function ask(body, signal) {
  return post("/predict", body, { signal });
}

/**
 * @param {*} body of `POST /predict`, with one input
 * @param {{signal: AbortSignal, onText: (text: string) => void}} options
 * @returns {Promise<*>} the whole answer. Raises ApiError, also for what breaks off on the way.
 */
export async function askStream(body, { signal, onText }) {
  const response = await request("/predict", { method: "POST", body: { ...body, stream: true }, headers: { accept: "text/event-stream" }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new ApiError({ status: 0, code: "broken_off", message: "The text broke off: the connection has ended." });
    for (const event of parser.feed(value)) {
      const data = JSON.parse(event.data);
      if (event.event === "piece") onText(data.text);
      else if (event.event === "prediction") return data;
      else if (event.event === "error") throw new ApiError({ status: data.status ?? 500, message: data.detail ?? data.error?.message ?? "The text broke off.", code: data.error?.code, hint: data.hint });
    }
  }
}
