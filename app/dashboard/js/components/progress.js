import { h } from "../dom.js";

/**
 * A bar that is updated in place.
 * @param {string} label for those who do not see it
 * @returns {{element: HTMLElement, update: (fraction: number|null) => void}} null: it moves, but nobody knows how far it is
 */
export function progressBar(label) {
  const element = h("progress", { class: "progress", max: 1, "aria-label": label });
  return {
    element,
    update(fraction) {
      if (fraction === null) element.removeAttribute("value");
      else element.setAttribute("value", String(Math.min(1, Math.max(0, fraction))));
    },
  };
}

/** @param {number} part from 0 to 1 @returns {HTMLElement} a bar beside a number that says the same */
export function shareBar(part) {
  return h("span", { class: "bar", "aria-hidden": "true" }, h("span", { style: { "--part": Math.min(1, Math.max(0, part)).toFixed(4) } }));
}
