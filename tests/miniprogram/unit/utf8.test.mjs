import assert from 'node:assert/strict';
import test from 'node:test';
import utf8 from '../../../miniprogram/utils/utf8.js';
import { bytes, chance } from './bytes.mjs';

const { decode } = utf8;

test('text of every length of character comes back', () => {
  for (const text of ['', 'abc', 'é', '中文，标点。', '😀👩‍💻🇨🇳', 'a中é😀\u0000\u2028\ufeff\uffff', '\u{10ffff}', '字'.repeat(20_000)]) {
    assert.equal(decode(bytes(text)), text);
  }
});

test('a byte order mark is text, as in the middle of a stream it would be', () => {
  assert.equal(decode(bytes('\ufeff字')), '\ufeff字');
});

test('of random bytes it reads the characters a browser reads', () => {
  const random = chance(1);
  const reference = new TextDecoder('utf-8', { ignoreBOM: true });
  const visible = (text) => text.replace(/\ufffd+/g, '\ufffd'); // how many stand for one fault is nobody's business
  for (let round = 0; round < 3000; round += 1) {
    const leads = [0x41, 0xc3, 0xe4, 0xb8, 0xad, 0xf0, 0x9f, 0x98, 0x80, 0xed, 0xa0, 0xff, 0xc0];
    const some = Uint8Array.from({ length: 12 }, () => leads[Math.floor(random() * leads.length)]);
    assert.equal(visible(decode(some)), visible(reference.decode(some)), String(some));
  }
});
