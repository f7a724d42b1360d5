import { h } from "../dom.js";

/**
 * @template T
 * @typedef {{label: string, cell: (row: T) => import("../dom.js").Child, numeric?: boolean, isHeader?: boolean, class?: string}} Column
 *   `isHeader`: the column that names the row
 */

/**
 * A table that is built once. A wide one is scrolled sideways, with the keyboard too.
 * @template T
 * @param {{label: string, columns: Column<T>[], rows: T[], caption?: string, class?: string}} options
 * @returns {HTMLElement}
 */
export function table({ label, columns, rows, caption, class: extra = "" }) {
  return scrolled(
    label,
    h(
      "table",
      { class: `table ${extra}` },
      caption ? h("caption", null, caption) : null,
      h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: column.numeric ? "num" : null }, column.label)))),
      h("tbody", null, rows.map((row) => h("tr", null, columns.map((column) => cell(column, row))))),
    ),
  );
}

function cell(column, row) {
  const name = [column.numeric ? "num" : "", column.class ?? ""].join(" ").trim() || null;
  return column.isHeader ? h("th", { scope: "row", class: name }, column.cell(row)) : h("td", { class: name }, column.cell(row));
}

/** @param {string} label @param {Element} content @returns {HTMLElement} a region that scrolls sideways where it must */
export function scrolled(label, content) {
  return h("div", { class: "table-wrap", role: "region", "aria-label": label, tabindex: "0" }, content);
}

/**
 * Names with their values.
 * @param {[string, import("../dom.js").Child][]} pairs those whose value is null are left out
 */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}
