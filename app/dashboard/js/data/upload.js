/** Uploading a data file, with its progress: `fetch` tells none of what it sends, so this one request goes another way. */

import { ApiError, asError, tellConnection } from "../api.js";
import { askForKey, currentKey } from "../key.js";

/** What the file chooser offers first; others are refused by the server, which says why. */
export const ACCEPTED = ".jsonl,.json,.ndjson,.csv,.tsv,.parquet";

/**
 * @param {File} file
 * @param {{signal: AbortSignal, onProgress?: (fraction: number|null) => void}} options null: it is sent, and being checked
 * @returns {Promise<*>} the file as `GET /files/{file_id}` tells it. Raises ApiError, AbortError.
 */
export async function uploadFile(file, { signal, onProgress = () => {} }) {
  for (;;) {
    const key = currentKey();
    const answer = await send(file, { key, signal, onProgress });
    if (answer.ok) return answer.json();
    const error = await asError(answer);
    if (answer.status !== 401 || !(await askForKey(key))) throw error;
  }
}

function send(file, { key, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const stopped = () => new DOMException("nobody waits", "AbortError");
    if (signal.aborted) return reject(stopped());
    const form = new FormData();
    form.append("file", file);
    const sender = new XMLHttpRequest();
    const stop = () => sender.abort();
    sender.open("POST", "/files");
    sender.setRequestHeader("accept", "application/json");
    if (key !== null) sender.setRequestHeader("authorization", `Bearer ${key}`);
    sender.upload.onprogress = (event) => onProgress(event.lengthComputable && event.loaded < event.total ? event.loaded / event.total : null);
    sender.onload = () => {
      tellConnection(true);
      resolve(new Response(sender.response, { status: sender.status, statusText: sender.statusText }));
    };
    sender.onerror = () => {
      // a server that refuses early closes the connection while the browser still sends, and its answer is lost
      reject(new ApiError({ status: 0, code: "unreachable", message: `${file.name} could not be sent.`, hint: "The server cannot be reached, or the file is larger than it takes." }));
    };
    sender.onabort = () => reject(stopped());
    sender.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    sender.send(form);
  });
}
