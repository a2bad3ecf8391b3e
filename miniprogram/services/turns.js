/** Single turns: look, stop, rate, report. */

const http = require('./http');

/**
 * @typedef {{turn_id: string, conversation_id: string, status: string, question: string, reply: string, reasoning: string,
 *   next: string, reset: boolean, code: string | null, detail?: string, finish_reason: string | null,
 *   rating: string | null, created_at: string}} TurnState
 */

/**
 * @param {string} turnId
 * @param {string} after cursor
 * @param {number} wait seconds
 * @returns {Promise<TurnState>}
 */
function look(turnId, after, wait) {
  return http.get(`/api/turns/${turnId}`, { after, wait }, (wait + 5) * 1000);
}

/** @returns {Promise<TurnState>} */
function stop(turnId) {
  return http.post(`/api/turns/${turnId}/stop`, {}, 10000);
}

/** @param {string} turnId @param {'up'|'down'|null} rating @param {string} [reason] */
function rate(turnId, rating, reason) {
  return http.post(`/api/turns/${turnId}/rating`, reason ? { rating, reason } : { rating });
}

/** @param {string} turnId @param {string} reason @returns {Promise<{receipt: string}>} */
function report(turnId, reason) {
  return http.post(`/api/turns/${turnId}/report`, { reason });
}

module.exports = { look, rate, report, stop };
