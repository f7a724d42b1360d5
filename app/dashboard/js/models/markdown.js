/**
 * A model's card: the Markdown that cards are written in, as elements. All text stays text, and links lead to the web alone;
 * what is not understood is shown as it is written.
 */

import { h } from "../dom.js";

const INLINE = /(`[^`\n]+`)|(\*\*[^*\n]+\*\*)|(\[[^\]\n]+\]\([^()\s]+\))|(\*[^*\s][^*\n]*\*)/;

/** @param {string} text @returns {HTMLElement} */
export function markdown(text) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const blocks = [];
  let at = 0;
  if (lines[0] === "---") {
    const end = lines.indexOf("---", 1);
    if (end > 0) {
      blocks.push(h("details", null, h("summary", null, "Metadata"), h("pre", { class: "wrap" }, lines.slice(1, end).join("\n"))));
      at = end + 1;
    }
  }
  while (at < lines.length) {
    const [block, next] = readBlock(lines, at);
    if (block) blocks.push(block);
    at = next;
  }
  return h("div", { class: "prose" }, blocks);
}

function readBlock(lines, at) {
  const line = lines[at];
  if (line.trim() === "") return [null, at + 1];
  const fence = line.match(/^(```|~~~)/);
  if (fence) {
    let end = at + 1;
    while (end < lines.length && !lines[end].startsWith(fence[1])) end += 1;
    return [h("pre", { class: "prose-code", tabindex: "0", role: "region", "aria-label": "Code" }, h("code", null, lines.slice(at + 1, end).join("\n"))), end + 1];
  }
  const heading = line.match(/^(#{1,6})\s+(.*)$/);
  if (heading) return [h(heading[1].length === 1 ? "h3" : "h4", null, inline(heading[2])), at + 1];
  if (line.startsWith("|") && /^\|[\s:|-]+\|\s*$/.test(lines[at + 1] ?? "")) return tableBlock(lines, at);
  if (/^\s*([-*+]|\d+[.)])\s+/.test(line)) return listBlock(lines, at);
  if (/^>\s?/.test(line)) return gather(lines, at, (each) => /^>\s?/.test(each), (found) => h("blockquote", null, inline(found.map((each) => each.replace(/^>\s?/, "")).join(" "))));
  if (/^([-*_])\1\1+\s*$/.test(line)) return [h("hr"), at + 1];
  const isText = (each, i) => i === 0 || (each.trim() !== "" && !/^(```|~~~|#{1,6}\s|\||>|\s*[-*+]\s)/.test(each));
  return gather(lines, at, isText, (found) => h("p", null, inline(found.join(" "))));
}

function gather(lines, at, belongs, build) {
  let end = at;
  while (end < lines.length && belongs(lines[end], end - at)) end += 1;
  return [build(lines.slice(at, end)), end];
}

function listBlock(lines, at) {
  const isNumbered = /^\s*\d/.test(lines[at]);
  return gather(lines, at, (each) => /^\s*([-*+]|\d+[.)])\s+/.test(each) || /^\s{2,}\S/.test(each), (found) => {
    const items = [];
    for (const each of found) {
      const item = each.match(/^\s*(?:[-*+]|\d+[.)])\s+(.*)$/);
      if (item) items.push(item[1]);
      else items[items.length - 1] += ` ${each.trim()}`;
    }
    return h(isNumbered ? "ol" : "ul", null, items.map((item) => h("li", null, inline(item))));
  });
}

function tableBlock(lines, at) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  return gather(lines, at, (each) => each.startsWith("|"), ([head, , ...rows]) => h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Table of the card" },
    h("table", { class: "table" }, h("thead", null, h("tr", null, cells(head).map((cell) => h("th", { scope: "col" }, inline(cell))))),
      h("tbody", null, rows.map((row) => h("tr", null, cells(row).map((cell) => h("td", null, inline(cell)))))))));
}

function inline(text) {
  const children = [];
  let rest = text;
  for (;;) {
    const found = rest.match(INLINE);
    if (!found) return [...children, rest];
    children.push(rest.slice(0, found.index));
    const [piece, code, bold, link] = found;
    if (code) children.push(h("code", null, code.slice(1, -1)));
    else if (bold) children.push(h("strong", null, bold.slice(2, -2)));
    else if (link) children.push(anchor(link));
    else children.push(h("em", null, piece.slice(1, -1)));
    rest = rest.slice(found.index + piece.length);
  }
}

function anchor(link) {
  const [, words, target] = link.match(/^\[([^\]]+)\]\(([^()]+)\)$/);
  return /^https?:\/\//.test(target) ? h("a", { href: target, target: "_blank", rel: "noopener noreferrer nofollow" }, words) : words;
}
