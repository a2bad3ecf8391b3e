/**
 * UTF-8 to text, without TextDecoder, which phones do not have.
 * Takes whole texts: whoever reads a stream cuts it at line ends first (see sse.js), never inside a character.
 */

const REPLACEMENT = 0xfffd;
const PIECE = 4096; // arguments of one fromCharCode call

/**
 * @param {Uint8Array} bytes
 * @returns {string} what is no UTF-8 becomes U+FFFD
 */
function decode(bytes) {
  let text = '';
  let units = [];
  let i = 0;
  while (i < bytes.length) {
    const lead = bytes[i];
    const tail = lead < 0x80 ? 0 : lead < 0xc2 ? -1 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : -1;
    let point = tail === 0 ? lead : tail > 0 ? lead & (0x3f >> tail) : REPLACEMENT;
    let used = 1;
    for (; used <= tail; used += 1) {
      const next = bytes[i + used];
      if (next === undefined || (next & 0xc0) !== 0x80) {
        point = REPLACEMENT;
        break;
      }
      point = (point << 6) | (next & 0x3f);
    }
    i += used;
    push(units, point, tail);
    if (units.length >= PIECE) {
      text += String.fromCharCode.apply(null, units);
      units = [];
    }
  }
  return text + String.fromCharCode.apply(null, units);
}

/** Add a code point as UTF-16; overlong forms, surrogates and what lies beyond Unicode are no characters. */
function push(units, point, tail) {
  const least = [0, 0, 0x800, 0x10000][Math.max(tail, 0)];
  if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) units.push(REPLACEMENT);
  else if (point < 0x10000) units.push(point);
  else units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
}

module.exports = { decode };
