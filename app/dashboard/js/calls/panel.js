/** The same request in three languages, each to be copied. */

import { codeBlock } from "../components/code.js";
import { tabs } from "../components/tabs.js";
import { h, patch } from "../dom.js";

const KEPT = "tunery.calls";
const LANGUAGES = [["curl", "curl"], ["python", "Python"], ["cli", "Command line"]];

/**
 * @param {{label: string, signal: AbortSignal, initial?: {curl: string, python: string, cli: string}}} options
 * @returns {{element: HTMLElement, show: (calls: {curl: string, python: string, cli: string}) => void}}
 */
export function callsPanel({ label, signal, initial }) {
  let calls = initial ?? { curl: "", python: "", cli: "" };
  const places = new Map();
  const draw = (id, name) => patch(places.get(id), calls[id], () => codeBlock(calls[id], { label: name }));
  const view = tabs({
    label, signal, selected: remembered(), onSelect: remember,
    tabs: LANGUAGES.map(([id, name]) => ({ id, label: name, build: (panel) => {
      const place = h("div");
      places.set(id, place);
      panel.append(place);
      draw(id, name);
    } })),
  });
  return { element: h("div", { class: "calls" }, view.element), show(next) {
    calls = next;
    for (const [id, name] of LANGUAGES) if (places.has(id)) draw(id, name);
  } };
}

function remembered() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function remember(id) {
  try {
    localStorage.setItem(KEPT, id);
  } catch {
    // a browser that keeps nothing shows the first one next time
  }
}
