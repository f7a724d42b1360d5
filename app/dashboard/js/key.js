/** The API key of this tab, if the server wants one. It is kept until the tab is closed, and sent to this server alone. */

import { h } from "./dom.js";
import { openDialog } from "./components/dialog.js";

const KEY = "tunery-api-key";
let fallback = null;
/** @type {Promise<boolean>|null} */
let asking = null;
/** Whether the user closed the dialog: refusals on the same page, late ones and those of polling, do not open it again. */
let declined = false;

/** Told on `document` when a key was given or forgotten. */
export const KEY_CHANGED = "tunery:key";

/** @returns {string|null} */
export function currentKey() {
  try {
    return sessionStorage.getItem(KEY) ?? fallback;
  } catch {
    return fallback;
  }
}

/** @param {string|null} key */
function keep(key) {
  fallback = key;
  declined = false;
  try {
    if (key === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, key);
  } catch {
    // Kept in memory alone.
  }
  document.dispatchEvent(new Event(KEY_CHANGED));
}

export function forgetKey() {
  keep(null);
}

/** The user went to another page, which may ask again. */
export function pageChanged() {
  declined = false;
}

/**
 * Ask the user, once however many requests were refused at a time, and once a page.
 * @param {string|null} refused the key that was sent
 * @returns {Promise<boolean>} whether there is another key to try
 */
export function askForKey(refused) {
  if (currentKey() !== refused) return Promise.resolve(true);
  if (declined) return Promise.resolve(false);
  asking ??= prompt(refused)
    .then((given) => {
      declined = !given;
      return given;
    })
    .finally(() => {
      asking = null;
    });
  return asking;
}

async function prompt(refused) {
  const input = h("input", { class: "input", id: "api-key", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const given = await openDialog({
    title: "This server asks for an API key",
    body: [
      refused
        ? h("p", { class: "field" }, h("span", { class: "error", role: "alert" }, "The key was not accepted."))
        : h("p", { class: "muted" }, "It is the key that the service was started with, or one that its owner made for you."),
      h(
        "div",
        { class: "field" },
        h("label", { for: "api-key" }, "API key"),
        input,
        h("span", { class: "hint" }, "Kept in this tab until you close it."),
      ),
    ],
    confirm: "Use this key",
    valid: () => input.reportValidity() && input.value.trim() !== "",
  });
  if (given) keep(input.value.trim());
  return given;
}
