/** Data files: a list, and a place to upload another one. */

import { pages, path, remove } from "../api.js";
import { confirmDialog } from "../components/dialog.js";
import { emptyState } from "../components/empty.js";
import { icon } from "../components/icons.js";
import { toastProblem } from "../components/problem.js";
import { table } from "../components/table.js";
import { toast } from "../components/toast.js";
import { dropzone } from "../data/dropzone.js";
import { h, patch, replace } from "../dom.js";
import { bytes, count, shortId, time } from "../format.js";
import { go, href } from "../router.js";

const PAGE = 50;

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { signal }) {
  const list = h("div", { class: "card" });
  const foot = h("div", { class: "table-foot" });
  let files = [];
  let more = null;
  root.append(
    h("div", { class: "page-head" }, h("div", { class: "page-head-text" }, h("h1", { tabindex: "-1" }, "Data"),
      h("p", { class: "lead" }, "Files to train and to predict on. Each row is checked while it is uploaded."))),
    h("div", { class: "stack" }, dropzone({ label: "A data file", signal, multiple: true, onUploaded: uploaded }), list),
  );

  function uploaded(file, isAlone) {
    toast(`${file.filename} is uploaded.`, { detail: `${count(file.num_rows)} rows` });
    files = [file, ...files.filter((one) => one.id !== file.id)];
    if (isAlone) go(href(path`/data/${file.id}`));
    else draw();
  }

  async function load() {
    more ??= pages("/files", { limit: PAGE }, signal);
    const { value, done } = await more.next();
    if (!done) files.push(...value.data);
    foot.dataset.more = String(!done && value.has_more);
    draw();
  }

  function draw() {
    const hasMore = foot.dataset.more === "true";
    patch(list, [files.map((file) => file.id), hasMore], () => files.length === 0
      ? emptyState({ title: "No data yet", text: "A file has a row for each example, with a text and its label: JSON Lines, CSV or Parquet. Drop one above, and see what could be trained on it." })
      : [table({ label: "Files", rows: files, class: "hover files-table", columns }), footer(hasMore)]);
  }

  function footer(hasMore) {
    return replace(foot, h("span", { role: "status" }, `${count(files.length)} ${files.length === 1 ? "file" : "files"}${hasMore ? " shown" : ""}`),
      hasMore ? h("button", { type: "button", class: "button small", onclick: () => load().catch(toastProblem) }, "Load more") : null);
  }

  const columns = [
    { label: "File", isHeader: true, class: "main-cell", cell: (file) => [
      h("div", { class: "clip" }, h("a", { href: href(path`/data/${file.id}`) }, file.filename)),
      h("div", { class: "sub" }, h("span", { title: file.id }, shortId(file.id)), file.purpose === "fine-tune" ? null : ` · ${file.purpose}`)] },
    { label: wide("Format"), class: "wide-only", cell: (file) => file.format },
    { label: "Rows", numeric: true, cell: (file) => count(file.num_rows) },
    { label: wide("Size"), numeric: true, class: "wide-only", cell: (file) => bytes(file.bytes) },
    { label: wide("Added"), class: "wide-only", cell: (file) => time(file.created_at) },
    { label: h("span", { class: "visually-hidden" }, "Actions"), class: "actions-cell", cell: (file) => h("div", { class: "row actions-row" },
      file.num_rows === null ? null : h("a", { class: "button small", href: href("/new", { train: file.id }), "aria-label": `Train on ${file.filename}` }, "Train"),
      h("button", { type: "button", class: "button ghost icon", title: "Delete", "aria-label": `Delete ${file.filename}`, onclick: () => drop(file) }, icon("trash"))) },
  ];

  async function drop(file) {
    if (!(await deleteFile(file, signal))) return;
    files = files.filter((one) => one.id !== file.id);
    draw();
    root.querySelector("h1").focus();
  }

  await load();
  root.dataset.ready = "true";
}

const wide = (label) => h("span", { class: "wide-only" }, label);

/** Ask, and delete. @param {*} file @param {AbortSignal} signal @returns {Promise<boolean>} whether it is gone */
export async function deleteFile(file, signal) {
  const text = `${file.filename} is removed from the server. Models that were trained on it stay; a job could not be trained on it again.`;
  if (!(await confirmDialog({ title: "Delete this file?", text, confirm: "Delete the file", danger: true }))) return false;
  try {
    await remove(path`/files/${file.id}`, signal);
    toast(`${file.filename} is deleted.`);
    return true;
  } catch (error) {
    toastProblem(error);
    return false;
  }
}
