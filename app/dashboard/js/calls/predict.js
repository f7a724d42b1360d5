/** A question to a model as curl, Python and the command line send it. */

import { call, client } from "./python.js";
import { command, curl, quoted, withAddress } from "./shell.js";

/**
 * @param {{model: string, inputs: *, parameters?: Object<string, *>, stream?: boolean}} body of `POST /predict`
 * @param {boolean} hasKey
 * @returns {{curl: string, python: string, cli: string}}
 */
export function predictCalls(body, hasKey) {
  return { curl: curl("/predict", body, hasKey, body.stream ? ["-N"] : []), python: python(body, hasKey), cli: cli(body) };
}

function python({ model, inputs, parameters = {}, stream }, hasKey) {
  const args = [[null, model], [null, inputs], ...Object.entries(parameters)];
  if (!stream) return `${client(hasKey)}\n\n${call("client.predict", args, "answer")}\nprint(answer.predictions)`;
  return `${client(hasKey)}\n\nfor piece in ${call("client.predict_stream", args)}:\n    print(piece.text, end="", flush=True)`;
}

function cli({ model, inputs, parameters = {}, stream }) {
  const options = [
    `--model ${quoted(model)}`,
    ...Object.entries(parameters).map(([name, value]) => `--set ${quoted(`${name}=${JSON.stringify(value)}`)}`),
    ...(stream ? ["--stream"] : []),
  ];
  const texts = asWords(inputs);
  if (texts) return withAddress(command(["tunery predict", ...options, ["--", ...texts.map(quoted)].join(" ")]));
  const lines = (Array.isArray(inputs) ? inputs : [inputs]).map((input) => quoted(JSON.stringify(input)));
  return withAddress(`printf '%s\\n' ${command([...lines, ""]).trimEnd().replace(/\\$/, "")}| ${command(["tunery predict", "--file -", ...options.filter((one) => one !== "--stream")])}`);
}

/** One text, or a text with its second one, as words of a command; null for anything else. */
function asWords(inputs) {
  const one = Array.isArray(inputs) && inputs.length === 1 ? inputs[0] : inputs;
  if (typeof one === "string") return [one];
  if (typeof one.text === "string") return one.text_pair ? [one.text, one.text_pair] : [one.text];
  if (typeof one.question === "string") return [one.question, one.context];
  return null;
}
