import { h, uniqueId } from "../dom.js";

/**
 * A modal dialog; the browser keeps the focus inside and gives it back afterwards.
 * @param {{title: string, body: import("../dom.js").Child[], confirm: string, cancel?: string, danger?: boolean, valid?: () => boolean}} options
 *   `valid` is asked before it is closed with yes
 * @returns {Promise<boolean>} false if it was cancelled, with Escape too
 */
export function openDialog({ title, body, confirm, cancel = "Cancel", danger = false, valid = () => true }) {
  return new Promise((resolve) => {
    const titleId = uniqueId("dialog");
    const form = h(
      "form",
      { method: "dialog", onsubmit: submit },
      h("div", { class: "dialog-body" }, h("h2", { id: titleId }, title), body),
      h(
        "div",
        { class: "dialog-actions" },
        h("button", { type: "button", class: "button", onclick: () => dialog.close("no") }, cancel),
        h("button", { type: "submit", class: `button ${danger ? "danger-fill" : "primary"}` }, confirm),
      ),
    );
    const dialog = h("dialog", { "aria-labelledby": titleId }, form);
    function submit(event) {
      event.preventDefault(); // closing is all it does, and the policy of the page forbids forms to be sent
      if (valid()) dialog.close("yes");
    }
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** @param {{title: string, text: string, confirm: string, danger?: boolean}} options @returns {Promise<boolean>} */
export function confirmDialog({ title, text, confirm, danger = false }) {
  return openDialog({ title, body: [h("p", null, text)], confirm, danger, cancel: "Keep as it is" });
}
