/**
 * Markdown as a flat list of blocks, which WXML can show without recursion and setData can patch in place.
 * Lists and quotes become the indent `i`, the mark `m` and the quote depth `q` of their blocks.
 */

const { inline } = require('./inline');
const { readable } = require('./latex');
const { pieces } = require('./pieces');
const { tableAt } = require('./table');

/**
 * @typedef {import('./inline').Run} Run
 * @typedef {{k: string, i: number, q: number, m: string, runs?: Run[], lang?: string, lines?: string[],
 *   rows?: {cells: {runs: Run[]}[]}[]}} Block
 * @typedef {{i: number, q: number, live: boolean, out: Block[]}} Place where the blocks being read belong
 */

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+•]|\d{1,3}[.)、])(?:[ \t]+(?=\S)|[ \t]*$)(\[[ xX]\] )?/;
const DEEPEST = 8; // lists in lists, quotes in quotes
const MATH = /^ {0,3}(\$\$|\\\[)/;
// The beginning of something that shows as nothing: not worth a flicker while more is on its way.
const BEGUN = /\n[ \t]*(?:#{1,6}|[-*+>|]|`{1,2}|~{1,2}|\d{1,3}[.)]?|\*{2,3}|--)[ \t]*$/;

/**
 * @param {string} text
 * @param {boolean} [live] its end is still being written
 * @returns {Block[]}
 */
function parse(text, live = false) {
  const source = live ? text.replace(BEGUN, '') : text;
  /** @type {Block[]} */
  const out = [];
  read(source.replace(/\r\n?/g, '\n').replace(/\t/g, '    ').split('\n'), { i: 0, q: 0, live, out });
  return out;
}

/** @param {string[]} lines @param {Place} place */
function read(lines, place) {
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) at += 1;
    else at = blockAt(lines, at, place);
  }
}

/** Read the block that begins at line `at`; the line after it. */
function blockAt(lines, at, place) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return codeAt(lines, at, fence, place);
  if (MATH.test(line)) return mathAt(lines, at, place);
  const heading = HEADING.exec(line);
  if (heading) {
    text(`h${Math.min(heading[1].length, 4)}`, heading[2], place, at === lines.length - 1);
    return at + 1;
  }
  if (RULE.test(line)) {
    put('hr', place, {});
    return at + 1;
  }
  if (QUOTE.test(line) && place.q < DEEPEST) return quoteAt(lines, at, place);
  const item = ITEM.exec(line);
  if (item && place.i < DEEPEST) return itemAt(lines, at, item, place);
  const table = tableAt(lines, at, place.live);
  if (table) {
    put('table', place, { rows: table.rows });
    return table.end;
  }
  return paragraphAt(lines, at, place);
}

const indentOf = (line) => line.search(/[^ ]|$/);

function codeAt(lines, at, fence, place) {
  const indent = indentOf(lines[at]);
  const closing = new RegExp(`^ {0,3}${fence[1][0]}{${fence[1].length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end])) end += 1;
  const body = lines.slice(at + 1, end).map((line) => line.replace(new RegExp(`^ {0,${indent}}`), ''));
  // A closing fence that is half there is no code.
  if (place.live && end === lines.length && /^[`~]{1,2}$/.test(body[body.length - 1] || '')) body.pop();
  // While it grows, a line is what gets patched.
  put('code', place, { lang: fence[2], lines: place.live && body.length ? body : [body.join('\n')] });
  return end + 1;
}

function mathAt(lines, at, place) {
  const close = lines[at].trim().indexOf('$$') === 0 ? '$$' : '\\]';
  const first = lines[at].trim().slice(2);
  const body = [first];
  let end = at + 1;
  if (first.indexOf(close) < 0) {
    while (end < lines.length && lines[end].indexOf(close) < 0) body.push(lines[end++]);
    if (end < lines.length) body.push(lines[end++]);
  }
  const [formula, after] = body.join('\n').split(close);
  put('math', place, { runs: [{ c: 'math', t: readable(formula), h: '' }] });
  if (after && after.trim()) text('p', after, place, end >= lines.length);
  return end;
}

function quoteAt(lines, at, place) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inside = lines.slice(at, end).map((line) => line.replace(QUOTE, ''));
  read(inside, Object.assign({}, place, { q: place.q + 1, live: place.live && end === lines.length }));
  return end;
}

function itemAt(lines, at, item, place) {
  const base = item[1].length;
  const width = item[0].length - (item[3] || '').length;
  let end = at + 1;
  while (end < lines.length && belongs(lines, end, base)) end += 1;
  const inside = [lines[at].slice(item[0].length)].concat(
    lines.slice(at + 1, end).map((line) => line.replace(new RegExp(`^ {0,${width}}`), '')),
  );
  const first = place.out.length;
  read(inside, Object.assign({}, place, { i: place.i + 1, live: place.live && end === lines.length }));
  if (place.out.length === first || place.out[first].m) place.out.splice(first, 0, block('p', Object.assign({}, place, { i: place.i + 1 }), { runs: [] }));
  place.out[first].m = markOf(item, place.i);
  return end;
}

/** Whether a line goes on with the item above it: indented under it, or a paragraph's next line. */
function belongs(lines, at, base) {
  const line = lines[at];
  if (!line.trim()) {
    const next = lines.slice(at + 1).find((one) => one.trim());
    return next !== undefined && indentOf(next) >= base + 2;
  }
  if (indentOf(line) >= base + 2) return true;
  return !!lines[at - 1].trim() && !starts(lines, at);
}

function markOf(item, depth) {
  if (item[3]) return item[3][1] === ' ' ? '☐' : '☑';
  return /\d/.test(item[2]) ? item[2].replace(/[)、]/, '.') : depth % 2 ? '◦' : '•';
}

function paragraphAt(lines, at, place) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !starts(lines, end)) end += 1;
  text('p', lines.slice(at, end).map((line) => line.trim()).join('\n'), place, end === lines.length);
  return end;
}

/** Whether a block begins at this line, even right below a paragraph. */
function starts(lines, at) {
  const line = lines[at];
  return [FENCE, HEADING, RULE, QUOTE, MATH, ITEM].some((form) => form.test(line)) || !!tableAt(lines, at, false);
}

function text(kind, source, place, last) {
  put(kind, place, { runs: cut(inline(source, place.live && last), place.live) });
}

/** While the text grows, long runs are kept in pieces, of which only the last one changes. */
function cut(runs, live) {
  if (!live) return runs;
  return runs.reduce((all, run) => all.concat(pieces(run.t).map((t) => ({ c: run.c, t, h: run.h }))), []);
}

function put(kind, place, content) {
  place.out.push(block(kind, place, content));
}

function block(kind, place, content) {
  return Object.assign({ k: kind, i: place.i, q: place.q, m: '' }, content);
}

module.exports = { parse };
