/** Names nobody else has: a retry under the same name can never make a second answer. */

let count = 0;

/** @returns {string} */
function newId() {
  count += 1;
  const chance = Math.random().toString(36).slice(2, 12);
  return `${Date.now().toString(36)}-${count.toString(36)}-${chance}`;
}

module.exports = { newId };
