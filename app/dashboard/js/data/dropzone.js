/** A place to drop a data file on, or to choose one with; it uploads and tells how far it is. */

import { isAbort } from "../api.js";
import { icon } from "../components/icons.js";
import { problemPanel } from "../components/problem.js";
import { progressBar } from "../components/progress.js";
import { h, replace, uniqueId } from "../dom.js";
import { bytes, percent } from "../format.js";
import { childOf } from "../visible.js";
import { ACCEPTED, uploadFile } from "./upload.js";

/**
 * @param {{label: string, signal: AbortSignal, onUploaded: (file: *, isAlone: boolean) => void, multiple?: boolean}} options `isAlone`: no others were given with it
 * @returns {HTMLElement}
 */
export function dropzone({ label, signal, onUploaded, multiple = false }) {
  const id = uniqueId("upload");
  const input = h("input", { type: "file", id, accept: ACCEPTED, multiple, class: "visually-hidden", onchange: () => take([...input.files]) });
  const state = h("div", { class: "drop-state", "aria-live": "polite" });
  const area = h("label", { class: "drop", for: id },
    icon("upload", 20),
    h("span", null, h("strong", null, label), h("span", { class: "muted" }, " – drop it here, or choose one")),
    h("span", { class: "muted small" }, "JSON Lines, CSV with a header, or Parquet"));
  const element = h("div", { class: "stack tight" }, input, area, state);

  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    area.classList.toggle("over", depth > 0);
  };
  area.addEventListener("dragenter", (event) => (event.preventDefault(), mark(1)));
  area.addEventListener("dragleave", () => mark(-1));
  area.addEventListener("dragover", (event) => event.preventDefault());
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-depth);
    take([...event.dataTransfer.files]);
  });

  async function take(files) {
    input.value = "";
    const taken = multiple ? files : files.slice(0, 1);
    for (const file of taken) await upload(file, taken.length === 1);
  }

  async function upload(file, isAlone) {
    const stopping = childOf(signal);
    const bar = progressBar(`Upload of ${file.name}`);
    const words = h("span", { class: "muted small number" });
    const tell = (fraction) => {
      bar.update(fraction);
      words.textContent = fraction === null ? "is being checked …" : percent(fraction);
    };
    tell(0);
    replace(state, h("div", { class: "drop-progress" },
      h("div", { class: "row spread" }, h("span", { class: "clip" }, `${file.name} (${bytes(file.size)})`),
        h("span", { class: "row" }, words, h("button", { type: "button", class: "button small", onclick: () => stopping.abort() }, "Stop"))), bar.element));
    try {
      const uploaded = await uploadFile(file, { signal: stopping.signal, onProgress: tell });
      replace(state);
      onUploaded(uploaded, isAlone);
    } catch (error) {
      if (signal.aborted) return;
      replace(state, isAbort(error) ? h("p", { class: "muted" }, "The upload was stopped.") : problemPanel(error));
    }
  }
  return element;
}
