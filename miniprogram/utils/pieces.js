/**
 * Text in pieces of a fixed size. Text that grows is then sent to the screen piece by piece:
 * only its last piece changes, so a long paragraph costs no more per second than a short one.
 */

const SIZE = 48;
const SLACK = 12; // how much longer a piece may get
// What belongs to the sign before it: low surrogates, joiners, variation selectors, combining marks.
const CLINGS = /[\udc00-\udfff\u200d\ufe00-\ufe0f\u0300-\u036f\u20e3]/;

/**
 * @param {string} text
 * @returns {string[]} joined they are the text; the same beginning always gives the same first pieces
 */
function pieces(text) {
  const found = [];
  let from = 0;
  while (text.length - from > SIZE + SLACK) {
    let end = from + SIZE;
    while (end < from + SIZE + SLACK && splitsSign(text, end)) end += 1;
    found.push(text.slice(from, end));
    from = end;
  }
  found.push(text.slice(from));
  return found;
}

/** Whether a cut here would take a sign apart: 👩‍💻 is one sign made of five units, 🇨🇳 of four. */
function splitsSign(text, at) {
  return CLINGS.test(text[at]) || text[at - 1] === '\u200d' || isModifier(text, at);
}

/** Skin tones and the letters flags are made of. */
function isModifier(text, at) {
  const low = text[at + 1];
  return text[at] === '\ud83c' && ((low >= '\udffb' && low <= '\udfff') || (low >= '\udde6' && low <= '\uddff' && text[at - 2] === '\ud83c'));
}

module.exports = { pieces };
