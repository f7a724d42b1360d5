/**
 * The fields of a job, as the server's OpenAPI document describes them: a new field needs nothing here to be in the form.
 *
 * @typedef {{path: string, name: string, description: string, kind: "number"|"integer"|"boolean"|"text"|"choice"|"list"|"json",
 *   choices: string[], default: *, canBeAuto: boolean, canBeNull: boolean}} Field
 *   `path`: dotted, from the body of the request; `default`: undefined where it is null or nothing
 */

import { openApi } from "../api.js";

/**
 * @param {string} name of a schema, such as "JobSpec"
 * @returns {Promise<Field[]>} every field of it that holds a value, in its order
 */
export async function fieldsOfSchema(name) {
  const all = (await openApi()).components.schemas;
  return fieldsOf(all[name] ?? all[`${name}-Input`], all, ""); // what is sent and what is answered may be described apart
}

function fieldsOf(schema, all, prefix) {
  return Object.entries(schema.properties).flatMap(([name, given]) => {
    const path = prefix + name;
    const branches = (given.anyOf ?? [given]).map((branch) => resolve(branch, all));
    const object = branches.find((branch) => branch.properties);
    if (object) return fieldsOf(object, all, `${path}.`);
    return [field(path, name, given, branches)];
  });
}

function resolve(schema, all) {
  return schema.$ref ? all[schema.$ref.split("/").pop()] : schema;
}

function field(path, name, given, branches) {
  const canBeNull = branches.some((branch) => branch.type === "null");
  const canBeAuto = branches.some((branch) => branch.const === "auto");
  const real = branches.filter((branch) => branch.type !== "null" && branch.const !== "auto");
  return {
    path, name, canBeAuto, canBeNull,
    description: plain(given.description ?? ""),
    choices: real.flatMap((branch) => branch.enum ?? (branch.const === undefined ? [] : [branch.const])),
    kind: kindOf(real),
    default: given.default ?? undefined,
  };
}

function kindOf(real) {
  const types = new Set(real.map((branch) => branch.type));
  if (types.has("array")) return real.some((branch) => branch.type === "array" && branch.items?.type === "object") ? "json" : "list";
  if (types.has("object")) return "json";
  if (types.has("boolean")) return "boolean";
  if (types.has("integer") && !types.has("number") && types.size === 1) return "integer";
  if ((types.has("number") || types.has("integer")) && !types.has("string")) return "number";
  return real.length && real.every((branch) => branch.enum || branch.const !== undefined) ? "choice" : "text";
}

/** Docstrings mark names with backticks, which help nobody here. */
function plain(text) {
  return text.replaceAll("``", "").replaceAll("`", "").replace(/\s+/g, " ");
}

/** @param {Field} field @param {string} text as it was typed @returns {*} undefined: nothing is sent; what cannot be read is sent as it is, for the server to say what it wants */
export function readValue(field, text) {
  const given = text.trim();
  if (given === "") return undefined;
  if (given === "auto" && field.canBeAuto) return "auto";
  if (given === "null" && field.canBeNull) return null;
  if (field.kind === "number" || field.kind === "integer") return Number.isFinite(Number(given)) ? Number(given) : given;
  if (field.kind === "boolean") return given === "true" ? true : given === "false" ? false : given;
  if (field.kind === "list") return given.startsWith("[") ? parsed(given) : field.choices.includes(given) ? given : given.split(",").map((part) => part.trim()).filter(Boolean);
  if (field.kind === "json") return parsed(given);
  return text;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** @param {*} value @returns {string} what `readValue` reads as it */
export function writeValue(value) {
  if (value === undefined) return "";
  if (value === null) return "null";
  if (Array.isArray(value)) return value.every((part) => typeof part === "string" && !/[,[\]]/.test(part)) && value.length ? value.join(", ") : JSON.stringify(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
