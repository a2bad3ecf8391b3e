import assert from 'node:assert/strict';
import test from 'node:test';
import { loudness as measured } from '../../../miniprogram/utils/loudness.js';

/** A frame of MPEG-1 layer III, mono, with this global_gain. */
function frame(gain, { mpeg2 = false } = {}) {
  const bytes = new Uint8Array(200);
  bytes.set([0xff, mpeg2 ? 0xf3 : 0xfb, 0x90, 0xc0]);
  const at = 32 + (mpeg2 ? 9 : 18) + 21;
  for (let bit = 0; bit < 8; bit += 1) {
    if ((gain >> (7 - bit)) & 1) bytes[(at + bit) >> 3] |= 0x80 >> ((at + bit) & 7);
  }
  return bytes.buffer;
}

test('the louder, the more; never outside of 0 to 1', () => {
  const levels = [0, 100, 130, 150, 170, 190, 255].map((gain) => measured(frame(gain)));
  assert.deepEqual([...levels].sort((a, b) => a - b), levels);
  assert.equal(levels[0], 0);
  assert.equal(levels.at(-1), 1);
  assert.equal(measured(frame(160, { mpeg2: true })), measured(frame(160)));
});

test('what is no frame is silence', () => {
  for (const bytes of [[], [0xff], [0xff, 0xfb, 0x90], new Array(500).fill(0), new Array(500).fill(0xff)]) {
    const level = measured(Uint8Array.from(bytes).buffer);
    assert.ok(level >= 0 && level <= 1);
  }
  assert.equal(measured(new ArrayBuffer(0)), 0);
});
