/** Words of a POSIX shell. */

const PLAIN = /^[A-Za-z0-9_./:=@%+,-]+$/;

/** @param {string} text @returns {string} one word, whatever is in it */
export function quoted(text) {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** @param {string[]} parts @returns {string} a command, a line for each part */
export function command(parts) {
  return parts.join(" \\\n  ");
}

/** @param {string} path @param {*} body @param {boolean} hasKey @param {string[]} [options] @returns {string} the request as curl sends it */
export function curl(path, body, hasKey, options = []) {
  return command([
    `curl ${quoted(location.origin + path)}`,
    ...options,
    ...(hasKey ? ['-H "authorization: Bearer $TUNERY_API_KEY"'] : []),
    "-H 'content-type: application/json'",
    `-d ${quoted(JSON.stringify(body, null, 2))}`,
  ]);
}

/** @param {string} text a `tunery` command @returns {string} with the address of this server, where it is not the usual one */
export function withAddress(text) {
  const isUsual = location.protocol === "http:" && ["localhost:8000", "127.0.0.1:8000"].includes(location.host);
  return isUsual ? text : `export TUNERY_URL=${location.origin}\n${text}`;
}
