/** The same request in three languages, each to be copied. */

import { codeBlock } from "../components/code.js";
import { tabs } from "../components/tabs.js";
import { h, patch } from "../dom.js";

const KEPT = "tunery.calls";
const LANGUAGES = [["curl", "curl"], ["python", "Python"], ["cli", "Command line"]];

/**
 * @param {{label: string, signal: AbortSignal, languages?: string[]}} options `languages`: those in which there is such a call
 * @returns {{element: HTMLElement, show: (calls: {curl?: string, python?: string, cli?: string}) => void}}
 */
export function callsPanel({ label, signal, languages = LANGUAGES.map(([id]) => id) }) {
  let calls = {};
  const spoken = LANGUAGES.filter(([id]) => languages.includes(id));
  const places = new Map();
  const draw = (id, name) => patch(places.get(id), calls[id] ?? "", () => codeBlock(calls[id] ?? "", { label: name }));
  const view = tabs({
    label, signal, selected: spoken.some(([id]) => id === remembered()) ? remembered() : null, onSelect: remember,
    tabs: spoken.map(([id, name]) => ({ id, label: name, build: (panel) => {
      const place = h("div");
      places.set(id, place);
      panel.append(place);
      draw(id, name);
    } })),
  });
  return { element: h("div", { class: "calls" }, view.element), show(next) {
    calls = next;
    for (const [id, name] of spoken) if (places.has(id)) draw(id, name);
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
