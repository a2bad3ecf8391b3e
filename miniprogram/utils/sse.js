/**
 * Server-sent events from chunks of bytes. A chunk may end anywhere, also inside a character,
 * so lines are found in the bytes and decoded whole.
 */

const { decode } = require('./utf8');

const LF = 10;
const CR = 13;

/** @typedef {{event: string, id: string, data: string}} ServerEvent */

class EventReader {
  /** @param {(event: ServerEvent) => void} onEvent */
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = new Uint8Array(0);
    this.id = '';
    this.clear();
  }

  /** @param {ArrayBuffer} chunk */
  feed(chunk) {
    const bytes = join(this.rest, new Uint8Array(chunk));
    let from = 0;
    let end = bytes.indexOf(LF, this.rest.length);
    while (end >= 0) {
      this.line(decode(bytes.subarray(from, bytes[end - 1] === CR && end > from ? end - 1 : end)));
      from = end + 1;
      end = bytes.indexOf(LF, from);
    }
    this.rest = bytes.slice(from);
  }

  line(text) {
    if (!text) {
      const event = { event: this.event, id: this.id, data: this.data.join('\n') };
      const complete = this.data.length > 0;
      this.clear();
      if (complete) this.onEvent(event);
      return;
    }
    const colon = text.indexOf(':');
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? '' : text.slice(text[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'event') this.event = value;
    else if (name === 'id') this.id = value;
    else if (name === 'data') this.data.push(value);
  }

  clear() {
    this.event = 'message';
    /** @type {string[]} */
    this.data = [];
  }
}

function join(first, second) {
  if (!first.length) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

module.exports = { EventReader };
