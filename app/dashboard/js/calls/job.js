/** A new job as curl, Python and the command line send it. */

import { call, client } from "./python.js";
import { command, curl, quoted, withAddress } from "./shell.js";

const SPLITS = ["train", "validation", "test"];

/** @param {Object<string, *>} body of `POST /jobs` @param {boolean} hasKey @returns {{curl: string, python: string, cli: string}} */
export function jobCalls(body, hasKey) {
  return { curl: curl("/jobs", body, hasKey), python: python(body, hasKey), cli: cli(body) };
}

function python(body, hasKey) {
  const { model, dataset = {}, ...rest } = body;
  const splits = SPLITS.filter((split) => dataset[split] !== undefined && !(split === "validation" && dataset[split] === "auto"));
  const hub = Object.fromEntries(Object.entries(dataset).filter(([name]) => !splits.includes(name)));
  const args = [["model", model ?? ""], ...splits.map((split) => [split, dataset[split]]), ...(Object.keys(hub).length ? [["dataset", hub]] : []), ...Object.entries(rest)];
  return `${client(hasKey)}\n\n${call("client.jobs.submit", args, "job")}\nprint(client.jobs.wait(job).status)`;
}

function cli(body) {
  const { model, dataset = {}, task, suffix, metadata, ...rest } = body;
  const { name, config, train, validation, test, ...others } = dataset;
  const option = (flag, value) => (value === undefined ? [] : [`${flag} ${quoted(String(value))}`]);
  return withAddress(command([
    "tunery jobs create",
    ...option("--model", model ?? ""), ...option("--dataset-name", name), ...option("--dataset-config", config), ...option("--train", train),
    ...option("--validation", validation), ...option("--test", test), ...option("--task", task), ...settings({ dataset: others, ...rest }), ...option("--suffix", suffix),
    ...Object.entries(metadata ?? {}).map(([key, value]) => `--metadata ${quoted(`${key}=${value}`)}`),
    "--follow",
  ]));
}

function settings(spec) {
  return Object.entries(spec).flatMap(([name, value]) => flattened(name, value)).map(([path, value]) => `--set ${quoted(`${path}=${written(value)}`)}`);
}

/** One level deep: what lies deeper (weights by class) may have names with dots. */
function flattened(name, value) {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? Object.entries(value).map(([inner, part]) => [`${name}.${inner}`, part]) : [[name, value]];
}

/** A text that JSON could read as something else is written as JSON. */
function written(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  try {
    JSON.parse(value);
    return JSON.stringify(value);
  } catch {
    return value;
  }
}
