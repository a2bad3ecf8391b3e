/** Markdown tables. */

const { inline } = require('./inline');

const DIVIDER = /^ *\|? *:?-+:? *(?:\| *:?-+:? *)*\|? *$/;
const DIVIDER_BEGUN = /^[ |:-]*$/;

/**
 * The table that begins at line `at`, if one does.
 * @param {string[]} lines
 * @param {number} at
 * @param {boolean} live a table whose second line is still on its way counts
 * @returns {{rows: {cells: {runs: import('./inline').Run[]}[]}[], end: number} | null}
 */
function tableAt(lines, at, live) {
  const head = lines[at];
  const next = lines[at + 1];
  const begun = live && at + 2 >= lines.length && /^ *\|/.test(head) && (next === undefined || DIVIDER_BEGUN.test(next));
  const complete = head.indexOf('|') >= 0 && next !== undefined && DIVIDER.test(next) && next.indexOf('-') >= 0;
  if (!begun && !(complete && cells(head).length === cells(next).length)) return null;
  let end = Math.min(at + 2, lines.length);
  while (end < lines.length && lines[end].trim() && lines[end].indexOf('|') >= 0) end += 1;
  const columns = cells(head).length;
  const rows = [head].concat(lines.slice(at + 2, end)).map((line) => ({ cells: padded(cells(line), columns) }));
  return { rows, end };
}

/** The texts between the bars; a bar inside code or after a backslash is text. */
function cells(line) {
  const inner = line.trim().replace(/^\|/, '').replace(/([^\\])\|$/, '$1');
  const found = [''];
  let code = false;
  for (let i = 0; i < inner.length; i += 1) {
    if (inner[i] === '`') code = !code && inner.indexOf('`', i + 1) >= 0;
    if (inner[i] === '\\' && inner[i + 1] === '|') {
      found[found.length - 1] += '|';
      i += 1;
    } else if (inner[i] === '|' && !code) found.push('');
    else found[found.length - 1] += inner[i];
  }
  return found.map((text) => text.trim());
}

function padded(texts, columns) {
  const all = texts.slice(0, Math.max(columns, 1));
  while (all.length < columns) all.push('');
  return all.map((text) => ({ runs: inline(text) }));
}

module.exports = { tableAt };
