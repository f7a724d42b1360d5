import { icon } from "../../components/icons.js";
import { h } from "../../dom.js";
import { absolute, clock } from "../../format.js";

const WORDS = { warn: "Warning: ", error: "Error: " };

/** What happened, newest last; each event is added once, when it comes. */
export async function buildEvents(panel, feed) {
  const list = h("ol", { class: "events" });
  let drawn = 0;
  const draw = (events) => {
    list.append(...events.slice(drawn).map(eventLine));
    drawn = events.length;
  };
  panel.append(h("div", { class: "card", role: "log", "aria-label": "Events" }, list));
  feed.onEvent(draw);
  draw(feed.events);
  await feed.needEvents();
}

function eventLine(event) {
  return h("li", { class: event.level, dataset: { number: event.number } },
    h("time", { datetime: event.created_at, title: absolute(event.created_at) }, clock(event.created_at)),
    icon(event.level === "info" ? "dot" : "warn"),
    h("span", null, WORDS[event.level] ? h("span", { class: "visually-hidden" }, WORDS[event.level]) : null, event.message));
}
