/**
 * The smallest patch setData needs to get from one value to the next: `{'turns[3].blocks[2].runs[0].t': '…'}`.
 * Values are plain data; whatever is the same object in both is not looked into.
 */

/**
 * @param {any} before
 * @param {any} after
 * @param {string} path where the value lives in a page's or component's data
 * @param {Record<string, any>} [patch] added to
 * @returns {Record<string, any>}
 */
function diff(before, after, path, patch = {}) {
  if (before === after) return patch;
  if (Array.isArray(before) && Array.isArray(after) && after.length >= before.length) {
    after.forEach((value, i) => {
      if (i < before.length) diff(before[i], value, `${path}[${i}]`, patch);
      else patch[`${path}[${i}]`] = value;
    });
  } else if (isRecord(before) && isRecord(after) && Object.keys(before).every((key) => key in after)) {
    Object.keys(after).forEach((key) => diff(before[key], after[key], path ? `${path}.${key}` : key, patch));
  } else {
    patch[path] = after;
  }
  return patch;
}

function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

module.exports = { diff };
