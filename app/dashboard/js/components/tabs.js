import { h, replace, uniqueId } from "../dom.js";

/**
 * @typedef {{id: string, label: string, build: (panel: HTMLElement, signal: AbortSignal) => void|Promise<void>, isHidden?: boolean}} Tab
 *   `build` is called when the tab is first shown; its panel stays until the page is left
 */

/**
 * Tabs as https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ has them: arrow keys, Home and End move between them.
 * @param {{label: string, tabs: Tab[], selected?: string|null, signal: AbortSignal, onSelect?: (id: string) => void}} options
 * @returns {{element: HTMLElement, select: (id: string) => void, show: (id: string, isShown: boolean) => void, count: (id: string, number: number|null) => void}}
 */
export function tabs({ label, tabs: all, selected, signal, onSelect }) {
  const views = new Map(all.map((tab) => [tab.id, view(tab)]));
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown: move }, [...views.values()].map((one) => one.button));
  const element = h("div", null, list, [...views.values()].map((one) => one.panel));
  let current = "";

  function view(tab) {
    const [tabId, panelId] = [uniqueId("tab"), uniqueId("panel")];
    const count = h("span", { class: "count", hidden: true });
    const button = h("button", { type: "button", class: "tab", role: "tab", id: tabId, "aria-controls": panelId, "aria-selected": "false", tabindex: "-1",
      hidden: tab.isHidden ?? false, onclick: () => choose(tab.id) }, tab.label, count);
    const panel = h("div", { role: "tabpanel", id: panelId, "aria-labelledby": tabId, hidden: true, class: "stack" });
    return { tab, button, panel, count, isBuilt: false };
  }

  function shown() {
    return [...views.values()].filter((one) => !one.button.hidden);
  }

  function choose(id) {
    select(id);
    onSelect?.(id);
  }

  function select(id) {
    const chosen = views.get(id) && !views.get(id).button.hidden ? id : shown()[0].tab.id;
    if (chosen === current) return;
    current = chosen;
    for (const one of views.values()) {
      const isChosen = one.tab.id === chosen;
      one.button.setAttribute("aria-selected", String(isChosen));
      one.button.tabIndex = isChosen ? 0 : -1;
      one.panel.hidden = !isChosen;
    }
    const one = views.get(chosen);
    one.button.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (one.isBuilt) return;
    one.isBuilt = true;
    Promise.resolve(one.tab.build(one.panel, signal)).catch(async (error) => {
      if (signal.aborted) return;
      const { problemPanel } = await import("./problem.js");
      one.isBuilt = false;
      replace(one.panel, problemPanel(error));
    });
  }

  function move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const row = shown();
    const at = row.findIndex((one) => one.tab.id === current);
    let next = null;
    if (step !== undefined) next = row[(at + step + row.length) % row.length];
    else if (event.key === "Home") next = row[0];
    else if (event.key === "End") next = row[row.length - 1];
    if (next === null) return;
    event.preventDefault();
    choose(next.tab.id);
    next.button.focus();
  }

  select(selected ?? all[0].id);
  return {
    element,
    select,
    show(id, isShown) {
      views.get(id).button.hidden = !isShown;
      if (!isShown && current === id) choose(shown()[0].tab.id);
    },
    count(id, number) {
      const { count } = views.get(id);
      count.hidden = !number;
      count.textContent = number ? String(number) : "";
    },
  };
}
