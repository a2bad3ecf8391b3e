/**
 * How loud a piece of an MP3 recording is, from 0 to 1, without decoding it:
 * each frame's `global_gain` grows with its loudness. Mono, any MPEG version WeChat's recorder writes.
 */

const QUIET = 120; // global_gain of a silent room and of a voice close by, as far as it goes
const LOUD = 185;
const SILENT_BYTES = 16;

/**
 * @param {ArrayBuffer} frameBuffer
 * @returns {number}
 */
function loudness(frameBuffer) {
  const bytes = new Uint8Array(frameBuffer);
  let most = 0;
  for (let i = 0; i + SILENT_BYTES < bytes.length; i += 1) {
    // Frame sync, layer III, a bit rate that exists.
    if (bytes[i] === 0xff && (bytes[i + 1] & 0xe6) === 0xe2 && bytes[i + 2] >> 4 !== 15 && bytes[i + 2] >> 4 !== 0) {
      most = Math.max(most, gain(bytes, i));
    }
  }
  return Math.min(1, Math.max(0, (most - QUIET) / (LOUD - QUIET)));
}

function gain(bytes, at) {
  const mpeg1 = (bytes[at + 1] & 0x18) === 0x18;
  const stereo = bytes[at + 3] >> 6 !== 3;
  const checksum = bytes[at + 1] & 1 ? 0 : 2;
  // Before it: main_data_begin, private bits, scfsi; then part2_3_length (12 bits) and big_values (9 bits).
  const before = mpeg1 ? (stereo ? 20 : 18) : stereo ? 10 : 9;
  return bits(bytes, (at + 4 + checksum) * 8 + before + 21, 8);
}

function bits(bytes, from, count) {
  let value = 0;
  for (let i = from; i < from + count; i += 1) value = (value << 1) | ((bytes[i >> 3] >> (7 - (i & 7))) & 1);
  return value;
}

module.exports = { loudness };
