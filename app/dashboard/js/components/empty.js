import { h } from "../dom.js";

/**
 * Where there is nothing yet: what would be here, and the first step towards it.
 * @param {{title: string, text: string, action?: import("../dom.js").Child}} options
 */
export function emptyState({ title, text, action = null }) {
  return h("div", { class: "empty" }, h("h2", null, title), h("p", null, text), action);
}
