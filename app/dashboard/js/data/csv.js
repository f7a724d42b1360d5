/** CSV as RFC 4180 has it, for a preview: the server reads the file for training. */

const SEPARATORS = [",", "\t", ";", "|"];

/**
 * @param {string} text with a header; what is not ended is left out
 * @param {number} most rows
 * @returns {Object<string, string>[]}
 */
export function parseCsv(text, most) {
  const firstLine = text.slice(0, (text.indexOf("\n") + 1 || text.length + 1) - 1);
  const separator = SEPARATORS.map((each) => [firstLine.split(each).length, each]).sort((a, b) => b[0] - a[0])[0][1];
  const records = parseRecords(text, separator, most + 1);
  const [header, ...rows] = records;
  if (header === undefined) return [];
  return rows.map((row) => Object.fromEntries(header.map((name, i) => [name, row[i] ?? ""])));
}

function parseRecords(text, separator, most) {
  const records = [];
  let record = [];
  let field = "";
  let isQuoted = false;
  const endRecord = () => {
    record.push(field);
    if (record.length > 1 || field !== "") records.push(record);
    [record, field] = [[], ""];
  };
  for (let i = 0; i < text.length && records.length < most; i += 1) {
    const char = text[i];
    if (isQuoted) {
      if (char === '"' && text[i + 1] === '"') {
        field += '"';
        i += 1;
      } else if (char === '"') isQuoted = false;
      else field += char;
    } else if (char === '"' && field === "") isQuoted = true;
    else if (char === separator) {
      record.push(field);
      field = "";
    } else if (char === "\n") endRecord();
    else if (char !== "\r") field += char;
  }
  if (records.length < most && !isQuoted && (field !== "" || record.length)) endRecord();
  return records;
}
