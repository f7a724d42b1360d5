/**
 * Pages by the fragment of the address, so that links can be sent to others and survive a reload without the server knowing.
 *
 * @typedef {{params: Object<string, string>, query: URLSearchParams, signal: AbortSignal}} PageContext
 *   `signal` is aborted when the user goes elsewhere: give it to every request and every listener that outlives the page's nodes.
 * @typedef {{mount: (root: HTMLElement, context: PageContext) => void|Promise<void>}} PageModule
 * @typedef {{path: string, title: string, load: () => Promise<PageModule>, nav?: {label: string, icon: string, needs?: string}, section?: string}} Route
 */

import { isAbort } from "./api.js";
import { problemPanel } from "./components/problem.js";
import { h, replace } from "./dom.js";

/** Told on `document` when another page is shown, with the route as `detail`. */
export const ROUTE_CHANGED = "tunery:route";

/** @type {AbortController|null} */
let current = null;

/** @returns {{path: string, query: URLSearchParams}} */
export function here() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?", 2);
  return { path: path || "/", query: new URLSearchParams(query) };
}

/** @param {string} path such as "/jobs" @param {Object<string, *>} [query] @returns {string} for an `href` */
export function href(path, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `#${path}${pairs.length ? `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}` : ""}`;
}

/** @param {string} target as `href` gives it */
export function go(target) {
  location.hash = target;
}

/** Change the query without leaving the page or adding to the history. @param {Object<string, string|null>} changes */
export function rememberQuery(changes) {
  const { path, query } = here();
  const merged = { ...Object.fromEntries(query), ...changes };
  history.replaceState(null, "", href(path, merged));
}

/** @param {Route[]} routes @param {string} path @returns {{route: Route, params: Object<string, string>}|null} */
export function match(routes, path) {
  const given = path.split("/").filter(Boolean);
  for (const route of routes) {
    const wanted = route.path.split("/").filter(Boolean);
    if (wanted.length !== given.length) continue;
    const params = {};
    const fits = wanted.every((part, i) => {
      if (!part.startsWith(":")) return part === given[i];
      params[part.slice(1)] = decode(given[i]);
      return true;
    });
    if (fits) return { route, params };
  }
  return null;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param {Route[]} routes @param {HTMLElement} root */
export function startRouter(routes, root) {
  addEventListener("hashchange", () => show(routes, root, { isFirst: false }));
  return show(routes, root, { isFirst: true });
}

async function show(routes, root, { isFirst }) {
  const { path, query } = here();
  const found = match(routes, path);
  current?.abort();
  const controller = (current = new AbortController());
  const { signal } = controller;
  setTitle(found?.route.title ?? "Not found");
  document.dispatchEvent(new CustomEvent(ROUTE_CHANGED, { detail: found?.route ?? null }));
  const page = h("div", { class: "page" });
  try {
    if (found === null) {
      page.append(h("h1", { tabindex: "-1" }, "There is no such page"), h("p", null, h("a", { href: "#/jobs" }, "Go to the jobs")));
    } else {
      const module = await found.route.load();
      if (signal.aborted) return;
      replace(root, page);
      await module.mount(page, { params: found.params, query, signal });
      performance.mark("tunery:page"); // its first content is there
    }
  } catch (error) {
    if (signal.aborted || isAbort(error)) return;
    if (error instanceof TypeError && found !== null && !page.isConnected) error.hint = "Load the page again.";
    replace(page, h("h1", { tabindex: "-1" }, found?.route.title ?? "Not found"), problemPanel(error));
  }
  if (signal.aborted) return;
  if (!page.isConnected) replace(root, page);
  if (!isFirst) {
    scrollTo(0, 0);
    (page.querySelector("h1") ?? root).focus({ preventScroll: true });
  }
}

/** @param {string} title */
export function setTitle(title) {
  document.title = `${title} · Tunery`;
}
