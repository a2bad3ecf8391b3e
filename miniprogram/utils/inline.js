/**
 * Markdown inside a line: a flat list of runs `{c: classes, t: text, h: link}`.
 * More forgiving than CommonMark where Chinese text needs it (`**重点：**内容`).
 */

const { readable } = require('./latex');

/** @typedef {{c: string, t: string, h: string}} Run */

const SPECIAL = /[\\`*_~[!<&$h]/;
const LINK = /^!?\[((?:[^[\]\\]|\\.|\[[^\]]*\])*)\]\(\s*<?([^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*)>?(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/;
const LINK_BEGUN = /^!?\[([^[\]]*)\](?:\([^()\s]*)?$/;
const ADDRESS = /^https?:\/\/[^\s<>"'`|，。；：！？、（）【】《》“”‘’]+/;
const ENTITIES = { '&lt;': '<', '&gt;': '>', '&amp;': '&', '&quot;': '"', '&#39;': "'", '&nbsp;': '\u00a0' };
const WORD = /[A-Za-z0-9]/;

/**
 * @param {string} text
 * @param {boolean} [live] the end is still being written: what was opened there counts as closed
 * @returns {Run[]}
 */
function inline(text, live = false) {
  /** @type {Run[]} */
  const runs = [];
  scan(text, '', live, runs);
  return runs;
}

function scan(text, classes, live, runs) {
  let i = 0;
  while (i < text.length) {
    const skip = text.slice(i).search(SPECIAL);
    if (skip !== 0) {
      const end = skip < 0 ? text.length : i + skip;
      put(runs, classes, text.slice(i, end));
      i = end;
    } else {
      const used = special(text, i, classes, live, runs);
      if (!used) put(runs, classes, text[i]);
      i += used || 1;
    }
  }
}

/** Read what begins with a special character at `i`: how many characters it took, 0 if it was an ordinary one. */
function special(text, i, classes, live, runs) {
  const rest = text.slice(i);
  switch (text[i]) {
    case '\\':
      return escape(rest, classes, runs);
    case '`':
      return code(rest, classes, live, runs);
    case '*':
    case '~':
    case '_':
      return emphasis(text, i, classes, live, runs);
    case '!':
    case '[':
      return link(rest, classes, live, runs);
    case '<':
      return tag(rest, classes, runs);
    case '&':
      return entity(rest, classes, runs);
    case '$':
      return formula(rest, /^\$([^\s$](?:[^$\n]*[^\s$])?)\$(?!\d)/, classes, runs);
    default:
      return i > 0 && WORD.test(text[i - 1]) ? 0 : address(rest, classes, runs);
  }
}

function escape(rest, classes, runs) {
  const used = formula(rest, /^\\\(([\s\S]+?)\\\)/, classes, runs);
  if (used) return used;
  if (!/^\\[!-/:-@[-`{-~]/.test(rest)) return 0;
  put(runs, classes, rest[1]);
  return 2;
}

function code(rest, classes, live, runs) {
  const fence = rest.slice(0, rest.search(/[^`]|$/));
  const end = rest.indexOf(fence, fence.length);
  if (end < 0 && !live) return 0;
  const inside = end < 0 ? rest.slice(fence.length) : rest.slice(fence.length, end);
  put(runs, `${classes} code`, inside.replace(/^ (.*) $/, '$1'));
  return end < 0 ? rest.length : end + fence.length;
}

function emphasis(text, i, classes, live, runs) {
  const mark = /^(\*{1,3}|~~|_{1,2})/.exec(text.slice(i));
  if (!mark) return 0;
  const sign = mark[0];
  const from = i + sign.length;
  if (from >= text.length) return live ? sign.length : 0;
  const inWord = i > 0 && WORD.test(text[i - 1]); // snake_case, 2*3*4
  if (/\s/.test(text[from]) || (inWord && (sign[0] === '_' || (sign === '*' && WORD.test(text[from]))))) return 0;
  const end = closing(text, from, sign);
  if (end < 0 && !(live && sign.length > 1)) return 0;
  const name = sign[0] === '~' ? ' del' : [' em', ' strong', ' strong em'][sign.length - 1];
  scan(text.slice(from, end < 0 ? text.length : end).replace(end < 0 ? /[*~_]$/ : /$^/, ''), classes + name, live && end < 0, runs);
  return (end < 0 ? text.length : end + sign.length) - i;
}

function closing(text, from, sign) {
  for (let end = text.indexOf(sign, from + 1); end >= 0; end = text.indexOf(sign, end + 1)) {
    const after = text[end + sign.length];
    const longer = after === sign[0] || (sign.length === 1 && text[end - 1] === sign[0]);
    if (!longer && !/\s/.test(text[end - 1]) && !(sign[0] === '_' && after && WORD.test(after))) return end;
    if (longer && sign.length > 1) return end;
    while (longer && text[end + 1] === sign[0]) end += 1;
  }
  return -1;
}

function link(rest, classes, live, runs) {
  const whole = LINK.exec(rest);
  if (whole) {
    const shown = inline(whole[1] || whole[2]).map((run) => run.t).join('');
    put(runs, `${classes} link`, rest[0] === '!' ? `图片：${shown}` : shown, whole[2]);
    return whole[0].length;
  }
  const begun = live && LINK_BEGUN.exec(rest);
  if (!begun) return 0;
  put(runs, `${classes} link`, begun[1]);
  return rest.length;
}

function tag(rest, classes, runs) {
  const found = /^<(?:(br|BR)\s*\/?|(https?:\/\/[^\s<>]+))>/.exec(rest);
  if (!found) return 0;
  if (found[1]) put(runs, classes, '\n');
  else put(runs, `${classes} link`, found[2], found[2]);
  return found[0].length;
}

function entity(rest, classes, runs) {
  const found = /^&(?:lt|gt|amp|quot|nbsp|#39);/.exec(rest);
  if (!found) return 0;
  put(runs, classes, ENTITIES[found[0]]);
  return found[0].length;
}

function formula(rest, form, classes, runs) {
  const found = form.exec(rest);
  if (!found) return 0;
  put(runs, `${classes} math`, readable(found[1]));
  return found[0].length;
}

function address(rest, classes, runs) {
  const found = ADDRESS.exec(rest);
  if (!found) return 0;
  const url = found[0].replace(/[.,;:!?*_~)\]]+$/, '');
  put(runs, `${classes} link`, url, url);
  return url.length;
}

/** Add text; like text becomes one run. */
function put(runs, classes, text, href = '') {
  const c = classes.trim();
  const last = runs[runs.length - 1];
  if (!text) return;
  if (last && last.c === c && last.h === href && !href) last.t += text;
  else runs.push({ c, t: text, h: href });
}

module.exports = { inline };
