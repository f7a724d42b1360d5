import { get, path } from "../../api.js";
import { h } from "../../dom.js";
import { poll } from "../../live.js";
import { hasEnded } from "../../jobs/words.js";

const LIVE_SECONDS = 2;
/** Older lines are dropped from the page beyond that. */
const MOST_LINES = 20_000;

/** What the trainer wrote, as it writes it. Follows the end while the user looks at the end. */
export function buildLog(panel, feed, signal) {
  const lines = h("div", { class: "log", role: "log", "aria-label": "What the trainer wrote", tabindex: "0" });
  const note = h("p", { class: "muted small", role: "status" }, "Loading …");
  panel.append(h("div", { class: "card" }, lines), note);
  let after = null;
  let number = 0;
  return poll(async () => {
    const wasOver = hasEnded(feed.job);
    const page = await get(path`/jobs/${feed.job.id}/logs`, { after }, signal);
    const isAtEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 24;
    if (page.lines.length) {
      lines.append(...page.lines.map((line) => h("div", null, line || " ")));
      while (lines.childElementCount > MOST_LINES) lines.firstElementChild.remove();
      number += page.lines.length;
      if (isAtEnd) lines.scrollTop = lines.scrollHeight;
    }
    const hasMoved = page.next !== after;
    after = page.next;
    note.textContent = number ? `${number} lines${page.ended ? "" : " so far"}` : page.ended ? "The trainer wrote nothing." : "Nothing yet: no trainer has begun.";
    if (page.ended) return null;
    return hasMoved || (wasOver && !page.ended) ? 0.2 : LIVE_SECONDS;
  }, { signal, seconds: LIVE_SECONDS });
}
