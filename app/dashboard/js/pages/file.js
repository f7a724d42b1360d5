/** One data file: its first rows, what is known of them, and what could be trained on it. */

import { download, get, path } from "../api.js";
import { icon } from "../components/icons.js";
import { notice, toastProblem } from "../components/problem.js";
import { tag } from "../components/status.js";
import { facts } from "../components/table.js";
import { copyButton } from "../components/code.js";
import { rowsPreview } from "../data/preview.js";
import { columnsTable, factsOf, splitReport } from "../data/report.js";
import { h } from "../dom.js";
import { bytes, count, time } from "../format.js";
import { go, href, setTitle } from "../router.js";
import { deleteFile } from "./data.js";

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { params, signal }) {
  const file = await get(path`/files/${params.id}`, {}, signal);
  setTitle(file.filename);
  const columns = file.suggestion?.columns ?? {};
  const roles = Object.fromEntries(Object.entries(columns).filter(([, name]) => name).map(([role, name]) => [name, role === "text_pair" ? "second text" : role]));
  root.append(
    h("div", { class: "page-head" },
      h("div", { class: "page-head-text" }, h("p", { class: "small" }, h("a", { href: href("/data") }, "Data")), h("h1", { tabindex: "-1" }, file.filename),
        h("p", { class: "lead" }, [count(file.num_rows), " rows · ", bytes(file.bytes), " · ", time(file.created_at)])),
      h("div", { class: "row" },
        file.num_rows === null ? null : h("a", { class: "button primary", href: href("/new", { train: file.id }) }, icon("plus"), "Train on this"),
        h("button", { type: "button", class: "button", onclick: () => download(path`/files/${file.id}/content`, file.filename).catch(toastProblem) }, icon("down"), "Download"),
        h("button", { type: "button", class: "button danger", onclick: drop }, icon("trash"), "Delete"))),
    h("div", { class: "stack" }, suggestion(file), section("First rows", rowsPreview(file, { signal, roles, most: 10 }).element, true),
      file.profile ? section("What is known of the rows", splitReport(factsOf(file), { warnings: file.warnings })) : null,
      file.profile ? section("Columns", columnsTable(file.profile), true) : null,
      section("Details", facts([
        ["Id", h("span", { class: "row" }, h("code", null, file.id), copyButton(() => file.id, "Copy the id"))],
        ["Format", file.format], ["Purpose", file.purpose],
        ["Written by", file.job_id ? h("a", { href: href(path`/jobs/${file.job_id}`) }, file.job_id) : null],
        ["SHA-256", h("code", null, file.sha256)]]))),
  );
  root.dataset.ready = "true";

  async function drop() {
    if (await deleteFile(file, signal)) go(href("/data"));
  }
}

function suggestion(file) {
  if (file.suggestion) {
    const { task, problem_type: problem, columns, label_names: labels } = file.suggestion;
    const parts = Object.entries(columns).filter(([, name]) => name).map(([role, name], i) => [i ? ", " : "", h("code", null, name), ` as ${role === "text_pair" ? "second text" : role}`]);
    return notice("info", `This looks like ${task.replaceAll("-", " ")}`,
      h("p", null, problem.replaceAll("_", " "), ": ", parts, labels.length ? ["; labels ", labels.slice(0, 8).map((name) => [tag(name), " "]), labels.length > 8 ? `and ${labels.length - 8} more` : ""] : null));
  }
  if (file.no_suggestion) return notice("warn", file.no_suggestion.message, file.no_suggestion.hint ? h("p", null, file.no_suggestion.hint) : null);
  return null;
}

function section(title, content, isFlush = false) {
  return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, title)), h("div", { class: `card-body${isFlush ? " flush" : ""}` }, content));
}
