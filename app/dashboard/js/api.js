/**
 * The public API, as any client calls it.
 *
 * @typedef {{message: string, param: string|null, code: string|null, row: number|null}} Problem
 * @typedef {{method?: string, query?: Object<string, *>, body?: *, headers?: Object<string, string>, signal?: AbortSignal}} RequestOptions
 */

import { askForKey, currentKey } from "./key.js";

/** Told on `document` with `detail: boolean`: whether the last request reached the server. */
export const CONNECTION_CHANGED = "tunery:connection";

/** What went wrong, as problem+json tells it. `status` 0: the server was not reached. */
export class ApiError extends Error {
  /** @param {{status: number, message: string, code?: string, param?: string|null, hint?: string|null, problems?: Problem[], retryAfterSeconds?: number|null}} told */
  constructor(told) {
    super(told.message);
    this.status = told.status;
    this.code = told.code ?? "unknown";
    this.param = told.param ?? null;
    this.hint = told.hint ?? null;
    this.problems = told.problems ?? [];
    this.retryAfterSeconds = told.retryAfterSeconds ?? null;
  }
}

/** @param {unknown} error @returns {boolean} whether it only says that nobody waits any more */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * @param {string} path
 * @param {RequestOptions} [options] `body` is sent as JSON, or as it is if it is FormData
 * @returns {Promise<Response>} a good one. Raises ApiError, or AbortError once `signal` says so.
 */
export async function request(path, { method = "GET", query, body, headers = {}, signal } = {}) {
  const isForm = body instanceof FormData;
  for (;;) {
    const key = currentKey();
    const response = await reach(withQuery(path, query), {
      method,
      signal,
      headers: {
        accept: "application/json",
        ...(body === undefined || isForm ? {} : { "content-type": "application/json" }),
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...headers,
      },
      body: body === undefined || isForm ? body : JSON.stringify(body),
    });
    if (response.ok) return response;
    const error = await asError(response);
    if (response.status !== 401 || !(await askForKey(key))) throw error;
    signal?.throwIfAborted();
  }
}

async function reach(url, init) {
  try {
    const response = await fetch(url, init);
    tellConnection(true);
    return response;
  } catch (error) {
    if (isAbort(error) || init.signal?.aborted) throw new DOMException("nobody waits", "AbortError");
    tellConnection(false);
    throw new ApiError({
      status: 0,
      code: "unreachable",
      message: "The server cannot be reached.",
      hint: "Is it running? This page goes on by itself once it is back.",
    });
  }
}

let connected = true;
/** @param {boolean} now */
export function tellConnection(now) {
  if (now === connected) return;
  connected = now;
  document.dispatchEvent(new CustomEvent(CONNECTION_CHANGED, { detail: now }));
}

function withQuery(path, query) {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length ? `${path}?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}` : path;
}

/** @param {Response} response @returns {Promise<ApiError>} */
export async function asError(response) {
  const retryAfter = Number(response.headers.get("retry-after"));
  const told = { status: response.status, retryAfterSeconds: Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : null };
  let body;
  try {
    body = await response.json();
  } catch {
    return new ApiError({ ...told, message: `The server answered ${response.status} ${response.statusText}.` });
  }
  if (typeof body.error === "string") return new ApiError({ ...told, message: body.error, code: body.code, param: body.param });
  return new ApiError({
    ...told,
    message: body.detail ?? body.error?.message ?? `The server answered ${response.status}.`,
    code: body.error?.code,
    param: body.error?.param,
    hint: body.hint,
    problems: body.errors ?? [],
  });
}

/** @param {string} path @param {Object<string, *>} [query] @param {AbortSignal} [signal] @returns {Promise<*>} the JSON */
export async function get(path, query, signal) {
  return (await request(path, { query, signal })).json();
}

/** @param {string} path @param {*} [body] @param {RequestOptions} [options] @returns {Promise<*>} the JSON, null if there is none */
export async function post(path, body, options) {
  const response = await request(path, { ...options, method: "POST", body });
  return response.status === 204 ? null : response.json();
}

/** @param {string} path @param {AbortSignal} [signal] @param {Object<string, *>} [query] */
export async function remove(path, signal, query) {
  await request(path, { method: "DELETE", query, signal });
}

/**
 * Every page of a list, one after the other.
 * @param {string} path
 * @param {Object<string, *>} query with `limit`, and `after` to go on from
 * @param {AbortSignal} [signal]
 * @returns {AsyncGenerator<{data: *[], has_more: boolean, last_id: string|null}>}
 */
export async function* pages(path, query, signal) {
  let after = query.after;
  for (;;) {
    const page = await get(path, { ...query, after }, signal);
    yield page;
    if (!page.has_more || page.last_id === after) return;
    after = page.last_id;
  }
}

/**
 * A path that names something: each part is encoded, so that ids with colons and slashes stay one part.
 * @param {TemplateStringsArray} strings
 * @param {...string} parts
 */
export function path(strings, ...parts) {
  return String.raw({ raw: strings }, ...parts.map((part) => encodeURIComponent(part)));
}

/** @type {Promise<*>|null} */
let description = null;

/** @returns {Promise<*>} the server's OpenAPI document, asked for once */
export function openApi() {
  description ??= get("/openapi.json").catch((error) => {
    description = null;
    throw error;
  });
  return description;
}

/**
 * Whether this server has a route, so that nothing is asked that an older one does not know.
 * @param {string} template as OpenAPI writes it, such as "/jobs/{job_id}/metrics"
 */
export async function hasRoute(template) {
  return template in (await openApi()).paths;
}

/**
 * Give the user a file of the API's. With a key it goes through memory, because a link cannot send one.
 * @param {string} url
 * @param {string} name
 */
export async function download(url, name) {
  const link = document.createElement("a");
  link.download = name;
  if (currentKey() === null) {
    link.href = url;
    link.click();
    return;
  }
  const blob = await (await request(url, { headers: { accept: "*/*" } })).blob();
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
