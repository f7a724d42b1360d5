/** What each field of a spec is if nobody says anything, read from the server's own description. */

import { openApi } from "../api.js";

const SCHEMAS = { training: "JobSpec", prediction: "PredictionSpec", export: "ExportSpec" };

/**
 * @param {"training"|"prediction"|"export"} kind of the job
 * @returns {Promise<Map<string, *>>} by dotted name, such as `training.learning_rate`; “auto” is what the service chooses
 */
export async function specDefaults(kind) {
  const { schemas } = (await openApi()).components;
  const found = new Map();
  const walk = (name, prefix) => {
    for (const [field, property] of Object.entries(schemaOf(schemas, name)?.properties ?? {})) {
      const part = [property, ...(property.anyOf ?? []), ...(property.allOf ?? [])].map((one) => one.$ref?.split("/").pop()).find((ref) => schemaOf(schemas, ref)?.properties);
      if (part) walk(part, `${prefix}${field}.`);
      if ("default" in property) found.set(`${prefix}${field}`, property.default);
    }
  };
  walk(SCHEMAS[kind], "");
  return found;
}

/** FastAPI describes what is sent and what is answered apart where they differ. */
function schemaOf(schemas, name) {
  return schemas[name] ?? schemas[`${name}-Input`] ?? null;
}

/** @param {*} value @returns {[string, *][]} dotted names with their values; lists are values */
export function flat(value, prefix = "") {
  return Object.entries(value ?? {}).flatMap(([name, part]) => {
    const full = prefix ? `${prefix}.${name}` : name;
    return part !== null && typeof part === "object" && !Array.isArray(part) && Object.keys(part).length ? flat(part, full) : [[full, part]];
  });
}
