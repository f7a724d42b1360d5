/** Which examples to learn from, and by which to judge. */

import { get, isAbort, path } from "../api.js";
import { problemPanel } from "../components/problem.js";
import { dropzone } from "../data/dropzone.js";
import { dataFiles, fillFiles } from "../data/picker.js";
import { rowsPreview } from "../data/preview.js";
import { factsOf, splitReport } from "../data/report.js";
import { h, replace } from "../dom.js";
import { href } from "../router.js";
import { fieldShell } from "../spec/field.js";
import { columnsSection } from "./columns.js";

const SHARE = "share";
const USUAL_SHARE = 0.2;

/**
 * @param {{draft: *, tasks: string[], signal: AbortSignal}} options
 * @returns {Promise<{element: HTMLElement, views: import("../spec/field.js").FieldView[], refresh: () => void, showReport: (resolved: *) => void}>}
 */
export async function dataSection({ draft, tasks, signal }) {
  let files = await dataFiles(signal);
  let preview = null;
  let shownId = null;
  const shown = h("div", { class: "stack" });
  const columns = columnsSection({ draft, tasks });

  const train = h("select", { class: "select", onchange: () => chooseTrain(train.value) });
  const trainView = fieldShell({ path: "dataset.train", label: "Training data", input: train });
  const validation = h("select", { class: "select", onchange: () => chooseValidation(validation.value) });
  const share = h("input", { class: "input", type: "text", inputmode: "decimal", "aria-label": "Share of the training data, from 0 to 0.9",
    oninput: () => draft.set("dataset.validation", Number.isFinite(Number(share.value)) && share.value !== "" ? Number(share.value) : share.value) });
  const validationView = fieldShell({ path: "dataset.validation", label: "Validation data", input: validation });
  validationView.element.insertBefore(share, validation.nextSibling);
  const test = h("select", { class: "select", onchange: () => draft.set("dataset.test", test.value || undefined) });
  const testView = fieldShell({ path: "dataset.test", label: "Test data", input: test });

  const hubName = h("input", { class: "input", type: "text", spellcheck: "false", autocomplete: "off", placeholder: "such as nyu-mll/glue", oninput: () => draft.set("dataset.name", hubName.value.trim() || undefined) });
  const hubConfig = h("input", { class: "input", type: "text", spellcheck: "false", autocomplete: "off", placeholder: "such as mrpc", oninput: () => draft.set("dataset.config", hubConfig.value.trim() || undefined) });
  const hubViews = [fieldShell({ path: "dataset.name", label: "Data set of the Hub", input: hubName, description: "In place of a file; its split “train” is learned from." }),
    fieldShell({ path: "dataset.config", label: "Its configuration", input: hubConfig })];
  const hub = h("details", null, h("summary", null, "Use a data set of the Hugging Face Hub"), h("div", { class: "field-grid" }, hubViews.map((view) => view.element)));

  function chooseTrain(id) {
    draft.set("dataset.train", id || undefined);
    show(id).catch((error) => isAbort(error) || replace(shown, problemPanel(error)));
  }

  function chooseValidation(value) {
    const isShare = value === SHARE;
    share.hidden = !isShare;
    if (isShare) share.value = String(USUAL_SHARE);
    draft.set("dataset.validation", isShare ? USUAL_SHARE : value || undefined);
  }

  function uploaded(file) {
    files = [file, ...files.filter((one) => one.id !== file.id)];
    draft.set("dataset.train", file.id);
    fill();
    chooseTrain(file.id);
  }

  function fill() {
    const given = draft.get("dataset.validation");
    const isShare = typeof given === "number";
    fillFiles(train, files, { none: files.length ? "Choose an uploaded file" : "Upload a file above", chosen: draft.get("dataset.train") ?? null });
    fillFiles(validation, files, { none: "auto: a part of the training data", chosen: isShare ? SHARE : given && given !== "auto" ? given : null, others: [{ value: SHARE, label: "A share of the training data" }] });
    fillFiles(test, files, { none: "none", chosen: draft.get("dataset.test") ?? null });
    share.hidden = !isShare;
    if (isShare) share.value = String(given);
    hubName.value = draft.get("dataset.name") ?? "";
    hubConfig.value = draft.get("dataset.config") ?? "";
    hub.open ||= hubName.value !== "";
  }

  async function show(id) {
    if (id === shownId) return;
    shownId = id;
    preview = null;
    if (!id?.startsWith("file-")) return replace(shown);
    const file = await get(path`/files/${id}`, {}, signal);
    if (shownId !== id) return;
    preview = rowsPreview(file, { signal, most: 5 });
    columns.offer(file.profile?.columns.map((column) => column.name) ?? []);
    replace(shown, h("div", { class: "framed" }, preview.element),
      h("details", { class: "report" }, h("summary", null, knownWords(file.warnings?.length ?? 0)), h("div", { class: "card-body" }, splitReport(factsOf(file), { warnings: file.warnings }),
        h("p", { class: "small" }, h("a", { href: href(path`/data/${id}`) }, "All of it")))));
  }

  function refresh() {
    fill();
    columns.refresh();
    chooseTrain(draft.get("dataset.train") ?? "");
  }

  refresh();
  return {
    element: h("div", { class: "stack" }, dropzone({ label: "A data file", signal, onUploaded: uploaded }), trainView.element, hub, shown, columns.element,
      h("div", { class: "field-grid" }, validationView.element, testView.element)),
    views: [trainView, ...hubViews, validationView, testView, ...columns.views],
    refresh,
    showReport(spec) {
      const { text, text_pair: pair, label } = spec?.columns ?? {};
      preview?.mark(Object.fromEntries([[text, "text"], [pair, "second text"], [label, "label"]].filter(([name]) => name)));
      validation.options[0].textContent = typeof spec?.dataset?.validation === "number" ? `auto: ${spec.dataset.validation} of the training data` : "auto: a part of the training data";
    },
  };
}

function knownWords(numWarnings) {
  return numWarnings === 0 ? "What is known of these rows" : `What is known of these rows: ${numWarnings} ${numWarnings === 1 ? "warning" : "warnings"}`;
}
