/** Values as Python writes them. */

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const KEYWORDS = new Set(["False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
  "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield"]);
const WIDTH = 80;

/** @param {*} value of JSON @param {string} [indent] of the line it stands on @returns {string} */
export function literal(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  const isList = Array.isArray(value);
  const parts = isList ? value.map((part) => literal(part, `${indent}    `)) : Object.entries(value).map(([name, part]) => `${literal(name)}: ${literal(part, `${indent}    `)}`);
  const [open, close] = isList ? "[]" : "{}";
  const short = `${open}${parts.join(", ")}${close}`;
  if (indent.length + short.length < WIDTH && !short.includes("\n")) return short;
  return `${open}\n${parts.map((part) => `${indent}    ${part},\n`).join("")}${indent}${close}`;
}

/** @param {string} name of a function @param {[string|null, *][]} args by name, null: by place @param {string} [target] */
export function call(name, args, target = "") {
  const isPlain = args.every(([key]) => key === null || (NAME.test(key) && !KEYWORDS.has(key)));
  const given = isPlain ? args.map(([key, value]) => `${key === null ? "" : `${key}=`}${literal(value, "    ")}`)
    : [`**${literal(Object.fromEntries(args), "    ")}`];
  const before = target ? `${target} = ` : "";
  const short = `${before}${name}(${given.join(", ")})`;
  if (short.length < WIDTH && !short.includes("\n")) return short;
  return `${before}${name}(\n${given.map((one) => `    ${one},\n`).join("")})`;
}

/** @param {boolean} hasKey @returns {string} the lines that make `client` */
export function client(hasKey) {
  const note = hasKey ? "  # the key is taken from TUNERY_API_KEY" : "";
  return `from app.client import Tunery\n\nclient = Tunery(${literal(location.origin)})${note}`;
}
