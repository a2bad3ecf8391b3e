// Bytes for the tests, and chance that can be repeated.

export const bytes = (text) => new TextEncoder().encode(text);

/** Of its own, as wx gives it: not a view of something larger. */
export const buffer = (array) => Uint8Array.from(array).buffer;

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function chance(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
