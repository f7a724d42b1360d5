/** What a model answered, in the form that its task is read in. */

import { shareBar } from "../components/progress.js";
import { h } from "../dom.js";
import { count, figure } from "../format.js";
import { parts } from "./inputs.js";

const MOST_LABELS = 8;
const COLOURS = 8;

/**
 * @param {import("./shape.js").Shape} shape
 * @param {*} input that was sent
 * @param {*[]} prediction one of `predictions`
 * @returns {HTMLElement}
 */
export function answerView(shape, input, prediction) {
  const [first, second] = parts(input);
  if (shape.kind === "text") return generated(prediction[0]);
  if (shape.kind === "entities") return entities(first, prediction);
  if (shape.kind === "span") return spans(second, prediction);
  if (shape.kind === "score") return h("p", { class: "score" }, figure(prediction[0]?.score), " ", h("span", { class: "muted" }, prediction[0]?.label));
  return labels(prediction);
}

function labels(prediction) {
  if (prediction.length === 0) return h("p", { class: "muted" }, "No label has a score that high.");
  const isShare = prediction.every((one) => one.score >= 0 && one.score <= 1);
  const low = Math.min(0, ...prediction.map((one) => one.score));
  const high = isShare ? 1 : Math.max(...prediction.map((one) => one.score), low + 1e-9);
  const row = ({ label, score }, i) => h("li", { class: i === 0 ? "best" : null }, h("span", { class: "clip", title: label }, label),
    shareBar((score - low) / (high - low)), h("span", { class: "number" }, score.toFixed(4)));
  const rest = prediction.slice(MOST_LABELS);
  return h("div", null, h("ul", { class: "bars plain answers" }, prediction.slice(0, MOST_LABELS).map(row)),
    rest.length ? h("details", null, h("summary", null, `${count(rest.length)} more labels`), h("ul", { class: "bars plain answers" }, rest.slice(0, 500).map((one) => row(one, 1)))) : null);
}

function entities(text, prediction) {
  const kinds = [...new Set(prediction.map((one) => one.entity_group))];
  const marks = prediction.map((one) => ({ ...one, label: one.entity_group, colour: kinds.indexOf(one.entity_group) }));
  return h("div", { class: "stack tight" }, marked(text, marks), prediction.length ? null : h("p", { class: "muted" }, "Nothing was found in it."));
}

function spans(context, prediction) {
  const best = prediction[0];
  const others = prediction.slice(1);
  if (!best || best.answer === "") return h("div", { class: "stack tight" }, h("p", null, h("strong", null, "The context does not say."), best ? h("span", { class: "muted" }, ` ${figure(best.score)}`) : null), listed(others));
  return h("div", { class: "stack tight" }, h("p", null, h("strong", null, best.answer), h("span", { class: "muted number" }, ` ${figure(best.score)}`)),
    marked(context, [{ ...best, label: "answer", colour: 0 }]), listed(others));
}

function listed(others) {
  return others.length ? h("ul", { class: "plain muted" }, others.map((one) => h("li", null, one.answer || "no answer", ` ${figure(one.score)}`))) : null;
}

/** A text with places marked in it. Places count characters, of which some take two units of a string. */
function marked(text, marks) {
  const characters = Array.from(text);
  const children = [];
  let at = 0;
  for (const mark of [...marks].sort((a, b) => a.start - b.start)) {
    if (mark.start < at) continue;
    children.push(characters.slice(at, mark.start).join(""));
    children.push(h("mark", { class: "entity", title: `${mark.label}: ${figure(mark.score)}`, style: { "--entity": `var(--line-${(mark.colour % COLOURS) + 1})` } },
      characters.slice(mark.start, mark.end).join(""), h("span", { class: "entity-label" }, mark.label, " ", h("span", { class: "number" }, mark.score.toFixed(2)))));
    at = mark.end;
  }
  children.push(characters.slice(at).join(""));
  return h("p", { class: "marked" }, children);
}

/** @param {*} one a generated text */
export function generated(one) {
  const why = { stop: "ended by itself", length: "no room for more" }[one.finish_reason] ?? one.finish_reason;
  return h("div", { class: "stack tight" }, h("pre", { class: "written" }, one.generated_text || "(nothing)"), h("p", { class: "muted small" }, `${count(one.num_tokens)} tokens · ${why}`));
}
