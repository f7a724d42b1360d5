/** Asking a model by hand; stands on a page of its own, on a job's and on a model's. */

import { isAbort } from "../api.js";
import { callsPanel } from "../calls/panel.js";
import { predictCalls } from "../calls/predict.js";
import { icon } from "../components/icons.js";
import { problemPanel } from "../components/problem.js";
import { h, replace } from "../dom.js";
import { count, figure } from "../format.js";
import { currentKey } from "../key.js";
import { settingField } from "../spec/field.js";
import { fieldsOfSchema } from "../spec/schema.js";
import { childOf } from "../visible.js";
import { answerView } from "./answers.js";
import { ask, askStream } from "./ask.js";
import { chatView } from "./chat.js";
import { inputsForm, parts } from "./inputs.js";
import { parametersOf, shapeOf } from "./shape.js";

const KEPT_ANSWERS = 20;

/**
 * @param {{model: string, signal: AbortSignal}} options `model`: its id, that of a checkpoint or of a job that succeeded
 * @returns {HTMLElement} filled by itself; `data-ready` once it can be asked
 */
export function tryPanel({ model, signal }) {
  const element = h("div", { class: "try" }, h("p", { class: "muted" }, "Looking at the model …"));
  build(element, model, signal).catch((error) => signal.aborted || replace(element, problemPanel(error, { onRetry: () => element.replaceWith(tryPanel({ model, signal })) })));
  return element;
}

async function build(element, model, signal) {
  const [shape, fields] = await Promise.all([shapeOf(model, signal), fieldsOfSchema("PredictParameters")]);
  const parameters = {};
  const wanted = parametersOf(shape);
  const calls = callsPanel({ label: "The same call", signal });
  let inputsNow = [];
  const tell = () => calls.show(predictCalls(bodyOf(inputsNow), currentKey() !== null));
  const settings = h("details", { class: "group" }, h("summary", null, "Settings"), h("div", { class: "field-grid" },
    fields.filter((field) => wanted.includes(field.path)).map((field) => settingField(field, { onChange: (value) => {
      if (value === undefined) delete parameters[field.path];
      else parameters[field.path] = value;
      tell();
    } }).element)));

  /** As it would be sent; where nothing was written yet, with something that fits. */
  function bodyOf(inputs) {
    const example = shape.isChat ? { messages: [{ role: "user", content: "Hi!" }] } : shape.kind === "span" ? { question: "…", context: "…" } : shape.isPair ? { text: "…", text_pair: "…" } : "…";
    const body = { model: shape.model, inputs: inputs.length === 0 ? example : inputs.length === 1 ? inputs[0] : inputs };
    if (Object.keys(parameters).length) body.parameters = { ...parameters };
    if (shape.canStream && inputs.length < 2) body.stream = true;
    return body;
  }

  const asked = shape.isChat
    ? chatView(shape, { signal, parameters: () => parameters, onChange: (messages) => {
      inputsNow = [{ messages }];
      tell();
    } }).element
    : questions(shape, { signal, bodyOf, onChange: (inputs) => {
      inputsNow = inputs;
      tell();
    } });
  tell();
  replace(element, h("div", { class: "try-main stack" }, asked), h("div", { class: "try-side stack" }, settings, calls.element));
  element.dataset.ready = "true";
}

/** Inputs, a button, and the answers below, the newest first. */
function questions(shape, { signal, bodyOf, onChange }) {
  let asking = null;
  const form = inputsForm(shape, { onChange, onSend: send });
  const label = h("span", null, "Ask the model");
  const button = h("button", { type: "button", class: "button primary", onclick: () => (asking ? asking.abort() : send()) }, icon("play"), label);
  const state = h("div", { role: "status", class: "muted small" });
  const answers = h("ol", { class: "stack plain try-answers", "aria-label": "Answers, newest first" });

  async function send() {
    const inputs = form.read();
    if (asking) return;
    if (inputs.length === 0) return form.focus();
    asking = childOf(signal);
    label.textContent = "Stop";
    replace(state, "The model is asked; the first time it has to be loaded.");
    const body = bodyOf(inputs);
    const began = performance.now();
    const live = body.stream ? h("pre", { class: "written" }) : null;
    const item = live ? addAnswer(inputs, [live], "") : null;
    try {
      const answer = live ? await askStream(body, { signal: asking.signal, onText: (text) => live.append(text) }) : await ask(body, asking.signal);
      item?.remove();
      addAnswer(inputs, inputs.map((input, i) => answerView(shape, input, answer.predictions[i])), timings(answer, performance.now() - began), answer.usage?.truncated ?? []);
      replace(state);
    } catch (error) {
      if (signal.aborted) return;
      if (live && live.textContent === "") item.remove();
      replace(state, isAbort(error) ? "Stopped." : problemPanel(error));
    } finally {
      asking.abort();
      asking = null;
      label.textContent = "Ask the model";
    }
  }

  function addAnswer(inputs, views, words, truncated = []) {
    const item = h("li", { class: "card" },
      h("div", { class: "card-body stack" }, inputs.map((input, i) => h("div", { class: "stack tight answer" }, question(shape, input), views[i],
        truncated[i] ? h("p", { class: "small warn-text" }, "The text is longer than the model reads; its end was cut off.") : null))),
      words ? h("div", { class: "table-foot" }, h("span", { class: "number" }, words), h("button", { type: "button", class: "button ghost small", onclick: () => {
        form.fill(inputs);
        form.focus();
      } }, "Use again")) : null);
    answers.prepend(item);
    while (answers.children.length > KEPT_ANSWERS) answers.lastElementChild.remove();
    return item;
  }

  return h("div", { class: "stack" }, form.element, h("div", { class: "row" }, button, h("span", { class: "muted small" }, "or Ctrl + Enter")), state, answers);
}

/** What was asked; a text in which places are marked is shown with them, and not twice. */
function question(shape, input) {
  if (shape.kind === "entities") return null;
  const [first, second] = parts(input);
  return h("blockquote", { class: "asked" }, h("p", null, first), second && shape.kind !== "span" ? h("p", null, second) : null);
}

function timings(answer, totalMs) {
  const words = [`${milliseconds(totalMs)} in all`];
  const { queue_ms: queue, inference_ms: inference } = answer.timings ?? {};
  if (inference !== undefined) words.push(`${milliseconds(inference)} in the model`);
  if (queue !== undefined) words.push(`${milliseconds(queue)} waiting`);
  if (answer.usage?.tokens) words.push(`${count(answer.usage.tokens)} tokens`);
  return words.join(" · ");
}

function milliseconds(ms) {
  return ms < 1000 ? `${figure(ms, 3)} ms` : `${figure(ms / 1000, 3)} s`;
}
