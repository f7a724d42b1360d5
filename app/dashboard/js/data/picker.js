/** Choosing a file that was uploaded before, by a select that is filled from the API. */

import { pages } from "../api.js";
import { h, replace } from "../dom.js";
import { bytes, count, relative } from "../format.js";

const MOST = 200;

/** @param {*} file @returns {string} */
export function fileWords(file) {
  return [file.filename, file.num_rows === null ? bytes(file.bytes) : `${count(file.num_rows)} rows`, relative(file.created_at)].join(" · ");
}

/** @param {AbortSignal} signal @returns {Promise<*[]>} uploaded data files, newest first */
export async function dataFiles(signal) {
  const found = [];
  for await (const page of pages("/files", { limit: 100 }, signal)) {
    found.push(...page.data.filter((file) => file.num_rows !== null));
    if (found.length >= MOST) break;
  }
  return found;
}

/**
 * @param {HTMLSelectElement} select
 * @param {*[]} files
 * @param {{none: string, chosen: string|null, others?: {value: string, label: string}[]}} options `none`: what the empty choice says
 */
export function fillFiles(select, files, { none, chosen, others = [] }) {
  const known = files.some((file) => file.id === chosen) || others.some((other) => other.value === chosen);
  replace(select, h("option", { value: "" }, none), others.map((other) => h("option", { value: other.value }, other.label)),
    files.length ? h("optgroup", { label: "Uploaded files" }, files.map((file) => h("option", { value: file.id }, fileWords(file)))) : null,
    chosen && !known ? h("option", { value: chosen }, chosen) : null);
  select.value = chosen ?? "";
}
