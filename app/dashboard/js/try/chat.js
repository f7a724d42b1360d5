/** A chat with a model that was tuned on chats. */

import { isAbort } from "../api.js";
import { icon } from "../components/icons.js";
import { problemPanel } from "../components/problem.js";
import { h, replace, uniqueId } from "../dom.js";
import { count } from "../format.js";
import { childOf } from "../visible.js";
import { askStream } from "./ask.js";

/**
 * @param {import("./shape.js").Shape} shape
 * @param {{signal: AbortSignal, parameters: () => Object<string, *>, onChange: (messages: *[]) => void}} options
 * @returns {{element: HTMLElement}}
 */
export function chatView(shape, { signal, parameters, onChange }) {
  /** @type {{role: string, content: string}[]} */
  let messages = [];
  let asking = null;
  const inputId = uniqueId("message");
  const log = h("div", { class: "chat", "aria-label": "Conversation", role: "log", tabindex: "0" });
  const state = h("div", { role: "status", class: "muted small" });
  const input = h("textarea", { class: "textarea", id: inputId, rows: 2, oninput: () => onChange(next()), onkeydown: (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  } });
  const button = h("button", { type: "button", class: "button primary", onclick: () => (asking ? asking.abort() : send()) }, "Send");
  const anew = h("button", { type: "button", class: "button", onclick: () => {
    asking?.abort();
    messages = [];
    replace(log);
    replace(state);
    onChange(next());
    input.focus();
  } }, icon("retry"), "New chat");

  const next = () => [...messages, { role: "user", content: input.value.trim() || "Hi!" }];

  function bubble(role, content) {
    const text = h("div", { class: "bubble-text" }, content);
    log.append(h("div", { class: `bubble ${role}` }, h("span", { class: "visually-hidden" }, role === "user" ? "You: " : "Model: "), text));
    log.scrollTop = log.scrollHeight;
    return text;
  }

  async function send() {
    const content = input.value.trim();
    if (asking || content === "") return;
    const asked = next();
    input.value = "";
    bubble("user", content);
    const text = bubble("assistant", "");
    asking = childOf(signal);
    button.textContent = "Stop";
    replace(state, "The model is writing …");
    let written = "";
    try {
      const answer = await askStream({ model: shape.model, inputs: { messages: asked }, parameters: parameters() }, { signal: asking.signal, onText: (piece) => {
        written += piece;
        text.textContent = written;
        log.scrollTop = log.scrollHeight;
      } });
      replace(state, `${count(answer.predictions[0][0].num_tokens)} tokens`);
    } catch (error) {
      if (signal.aborted) return;
      replace(state, isAbort(error) ? "Stopped." : problemPanel(error));
    } finally {
      asking.abort();
      asking = null;
      button.textContent = "Send";
    }
    messages = written ? [...asked, { role: "assistant", content: written }] : messages;
    onChange(next());
  }

  onChange(next());
  return { element: h("div", { class: "stack tight" }, log, state, h("div", { class: "field" }, h("label", { for: inputId }, "Your message"), input),
    h("div", { class: "row" }, button, anew)) };
}
