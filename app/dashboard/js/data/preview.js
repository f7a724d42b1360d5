/** The first rows of a file as a table. */

import { ApiError, isAbort } from "../api.js";
import { problemPanel } from "../components/problem.js";
import { table } from "../components/table.js";
import { h, replace } from "../dom.js";
import { count } from "../format.js";
import { readHead } from "./rows.js";

const SHOWN_CHARS = 180;

/**
 * @param {*} file as the API tells it
 * @param {{signal: AbortSignal, roles?: Object<string, string>, most?: number}} options `roles`: by column, what part it plays
 * @returns {{element: HTMLElement, mark: (roles: Object<string, string>) => void}} filled by itself
 */
export function rowsPreview(file, { signal, roles = {}, most = 6 }) {
  const element = h("div", { class: "preview" }, h("p", { class: "muted small" }, "Reading the first rows …"));
  let head = null;
  let parts = roles;
  const draw = () => head && replace(element, shown(head, file, parts));
  readHead(file, { signal, most }).then((found) => {
    head = found;
    if (found === null) replace(element, h("p", { class: "muted small" }, `The rows of a ${file.format} file are not shown here; its columns are below.`));
    draw();
  }).catch((error) => {
    if (isAbort(error)) return;
    const isOdd = !(error instanceof ApiError);
    replace(element, isOdd ? h("p", { class: "muted small" }, "The first row is too long to be shown.") : problemPanel(error));
  });
  return { element, mark(next) {
    parts = next;
    draw();
  } };
}

function shown({ columns, rows, isPartial }, file, roles) {
  const label = `First rows of ${file.filename}`;
  const cells = columns.map((name) => ({ label: [name, roles[name] ? h("span", { class: "tag role" }, roles[name]) : null], cell: (row) => value(row[name]) }));
  return [
    table({ label, columns: [{ label: "Row", numeric: true, isHeader: true, cell: (row) => rows.indexOf(row) + 1 }, ...cells], rows, class: "rows-table" }),
    isPartial && file.num_rows ? h("p", { class: "muted small rows-more" }, `The first ${rows.length} of ${count(file.num_rows)} rows`) : null,
  ];
}

function value(given) {
  if (given === null || given === undefined) return h("span", { class: "muted" }, "null");
  const text = typeof given === "string" ? given : JSON.stringify(given);
  const short = text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text;
  return h("span", { class: typeof given === "string" ? null : "mono", title: text.length > SHOWN_CHARS ? text.slice(0, 2000) : null }, short);
}
