/** What can be done with a model, as buttons. */

import { download, hasRoute, path, post, remove } from "../api.js";
import { confirmDialog } from "../components/dialog.js";
import { icon } from "../components/icons.js";
import { toastProblem } from "../components/problem.js";
import { toast } from "../components/toast.js";
import { h } from "../dom.js";
import { modelName } from "../jobs/words.js";
import { go, href } from "../router.js";

const EXPORTED = ["text-classification", "token-classification", "question-answering"];

/** @param {*} model as the API tells it @param {{signal: AbortSignal}} options @returns {HTMLElement} */
export function modelActions(model, { signal }) {
  const isTuned = model.kind === "fine-tuned";
  const exported = h("button", { type: "button", class: "button", hidden: true, onclick: () => exportModel(exported) }, icon("external"), "Export to ONNX");
  if (isTuned && EXPORTED.includes(model.task)) hasRoute("/models/{model_id}/export").then((has) => (exported.hidden = !has));

  async function exportModel(button) {
    button.disabled = true;
    try {
      const job = await post(path`/models/${model.id}/export`, { format: "onnx" }, { signal });
      toast("A job writes the model down as ONNX.");
      go(href(path`/jobs/${job.id}`));
    } catch (error) {
      toastProblem(error);
    } finally {
      button.disabled = false;
    }
  }

  async function drop() {
    const text = "Its files are removed from the server, and it answers no more. Jobs that were trained from it, or made it, stay.";
    if (!(await confirmDialog({ title: `Delete ${modelName(model.id)}?`, text, confirm: "Delete the model", danger: true }))) return;
    try {
      await remove(path`/models/${model.id}`, signal);
      toast("The model is deleted.");
      go(href("/models"));
    } catch (error) {
      toastProblem(error);
    }
  }

  const zip = `${model.id.replaceAll(/[^A-Za-z0-9_-]+/g, "-")}.zip`;
  return h("div", { class: "row" },
    isTuned ? h("a", { class: "button primary", href: href("/try", { model: model.id }) }, icon("chat"), "Try it") : null,
    h("a", { class: `button ${isTuned ? "" : "primary"}`, href: href("/new", { model: model.id }) }, icon("plus"), isTuned ? "Fine-tune further" : "Fine-tune"),
    h("button", { type: "button", class: "button", onclick: () => download(path`/models/${model.id}/download`, zip).catch(toastProblem) }, icon("down"), "Download"),
    exported,
    h("button", { type: "button", class: "button danger", onclick: drop }, icon("trash"), "Delete"));
}
