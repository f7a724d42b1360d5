/** A request that is being written: values by their dotted paths, only those that somebody chose. */

/**
 * @param {{onChange: () => void}} options
 * @returns {{get: (path: string) => *, set: (path: string, value: *) => void, body: () => Object<string, *>, fill: (body: Object<string, *>, fields: import("./schema.js").Field[]) => void}}
 */
export function draft({ onChange }) {
  /** @type {Map<string, *>} */
  const values = new Map();
  return {
    get: (path) => values.get(path),
    /** undefined takes it out */
    set(path, value) {
      if (JSON.stringify(values.get(path)) === JSON.stringify(value)) return;
      if (value === undefined) values.delete(path);
      else values.set(path, value);
      onChange();
    },
    body: () => nested(values),
    /** What is as it would be anyway is left out. */
    fill(body, fields) {
      values.clear();
      for (const field of fields) {
        const value = at(body, field.path);
        const isUsual = value === undefined || (value === null && field.default === undefined) || JSON.stringify(value) === JSON.stringify(field.default);
        const isEmpty = typeof value === "object" && value !== null && Object.keys(value).length === 0 && field.default === undefined;
        if (!isUsual && !isEmpty) values.set(field.path, value);
      }
      onChange();
    },
  };
}

/** @param {*} object @param {string} path @returns {*} undefined where there is none */
export function at(object, path) {
  return path.split(".").reduce((inner, name) => inner?.[name], object);
}

function nested(values) {
  const body = {};
  for (const [path, value] of values) {
    const names = path.split(".");
    const last = names.pop();
    let target = body;
    for (const name of names) target = target[name] ??= {};
    target[last] = value;
  }
  return body;
}
