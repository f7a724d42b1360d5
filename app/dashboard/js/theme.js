/** Light, dark, or as the system says; remembered. */

import { h, replace } from "./dom.js";
import { icon } from "./components/icons.js";

const KEY = "tunery-theme";
const ORDER = /** @type {const} */ (["system", "light", "dark"]);
const WORDS = { system: "System theme", light: "Light theme", dark: "Dark theme" };
const ICONS = { system: "display", light: "sun", dark: "moon" };

/** Told on `document` when colours have changed, whoever changed them. */
export const THEME_CHANGED = "tunery:theme";

/** @returns {"system"|"light"|"dark"} */
export function chosenTheme() {
  const value = document.documentElement.dataset.theme;
  return value === "light" || value === "dark" ? value : "system";
}

/** @param {"system"|"light"|"dark"} theme */
export function chooseTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Not remembered, but shown.
  }
  document.dispatchEvent(new Event(THEME_CHANGED));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event(THEME_CHANGED)));

/** @returns {HTMLElement} a button that goes round the three */
export function themeButton() {
  const button = h("button", { type: "button", onclick: next });
  function next() {
    chooseTheme(ORDER[(ORDER.indexOf(chosenTheme()) + 1) % ORDER.length]);
    show();
  }
  function show() {
    const theme = chosenTheme();
    button.setAttribute("aria-label", `${WORDS[theme]}; change it`);
    replace(button, icon(ICONS[theme]), h("span", { class: "word" }, WORDS[theme]));
  }
  show();
  return button;
}

/**
 * A colour token as the browser computes it, for what draws by itself.
 * @param {string} token such as "--text"
 * @returns {string} rgb(…)
 */
export function colour(token) {
  const probe = h("span", { hidden: true, style: { color: `var(${token})` } });
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
