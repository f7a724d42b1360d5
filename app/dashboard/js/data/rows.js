/** The first rows of a data file, read without the rest of it. */

import { path, request } from "../api.js";
import { parseCsv } from "./csv.js";

const HEAD_BYTES = 64 * 1024;

/**
 * @typedef {{columns: string[], rows: Object<string, *>[], isPartial: boolean}} Head `isPartial`: the file goes on
 * @param {*} file as the API tells it
 * @param {{signal: AbortSignal, most?: number}} options
 * @returns {Promise<Head|null>} null of a format that a browser does not read
 */
export async function readHead(file, { signal, most = 8 }) {
  if (file.format !== "jsonl" && file.format !== "csv") return null;
  const { text, isPartial } = await beginning(file, signal);
  const whole = isPartial ? text.slice(0, text.lastIndexOf("\n") + 1) : text;
  const rows = file.format === "jsonl" ? parseLines(whole, most) : parseCsv(whole, most);
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return { columns, rows, isPartial: isPartial || (file.num_rows ?? 0) > rows.length };
}

async function beginning(file, signal) {
  if (file.bytes === 0) return { text: "", isPartial: false };
  const response = await request(path`/files/${file.id}/content`, { headers: { accept: "*/*", range: `bytes=0-${HEAD_BYTES - 1}` }, signal });
  const isPartial = file.bytes > HEAD_BYTES;
  const bytes = response.status === 206 ? new Uint8Array(await response.arrayBuffer()) : await firstBytes(response);
  return { text: new TextDecoder().decode(bytes).replace(/^\uFEFF/, ""), isPartial };
}

/** Of a proxy that does not know of ranges: no more is read than is wanted. */
async function firstBytes(response) {
  const reader = response.body.getReader();
  const parts = [];
  let size = 0;
  while (size < HEAD_BYTES) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
  }
  await reader.cancel();
  return new Uint8Array(await new Blob(parts).arrayBuffer()).subarray(0, HEAD_BYTES);
}

function parseLines(text, most) {
  const rows = [];
  for (const line of text.split("\n")) {
    if (rows.length === most) break;
    if (line.trim() === "") continue;
    const row = JSON.parse(line);
    rows.push(typeof row === "object" && row !== null && !Array.isArray(row) ? row : { value: row });
  }
  return rows;
}
