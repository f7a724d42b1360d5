/** In which settings runs differ, and in which data. */

import { h } from "../dom.js";
import { flat } from "../jobs/defaults.js";
import { writeValue } from "../spec/schema.js";

/** Of a spec, what says nothing of how a model learns. */
const ASIDE = /^(metadata|suffix|priority)(\.|$)/;

/**
 * @param {*[]} jobs
 * @returns {{name: string, values: string[]}[]} dotted fields of `spec` whose values are not the same in all jobs, by name
 */
export function differences(jobs) {
  const specs = jobs.map((job) => new Map(flat(job.spec)));
  const names = [...new Set(specs.flatMap((spec) => [...spec.keys()]))].filter((name) => !ASIDE.test(name));
  return names.map((name) => ({ name, values: specs.map((spec) => writeValue(spec.get(name) ?? undefined)) }))
    .filter(({ values }) => new Set(values).size > 1)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @param {*[]} jobs @returns {{name: string, values: (number|null)[]}[]} what is known of the data of each */
export function dataFacts(jobs) {
  const of = (split, name) => ({ name: `${split}: ${name}`, values: jobs.map((job) => job.data_report?.splits?.[split]?.[FACTS[name]] ?? null) });
  const rows = ["train", "validation", "test"].flatMap((split) => Object.keys(FACTS).map((name) => of(split, name)));
  return rows.filter(({ values }) => values.some((value) => value !== null && value !== 0));
}

const FACTS = { rows: "num_rows", "same rows twice": "num_exact_duplicates", "empty texts": "num_empty_texts" };

/** A value, marked where it is another than that of the first run. @param {string} value @param {string} first */
export function setting(value, first) {
  return h("code", { class: value === first ? null : "differs" }, value === "" ? "–" : value);
}
