/** The user's account: what the server offers them, leaving, being forgotten. */

const auth = require('./auth');
const http = require('./http');

/**
 * @typedef {{user_id: string, quota: {per_day: number, used_today: number, resets_at: string},
 *   features: {voice?: boolean, thinking?: boolean}, brand_name?: string, ai_label?: string, welcome?: string,
 *   suggestions?: string[], model?: {name: string, notice: string}, privacy_contact?: string, filing_text?: string,
 *   max_question_chars?: number}} Me
 */

/** @returns {Promise<Me>} */
function me() {
  return http.get('/api/me');
}

/** End the session, on the server too; the next call logs in anew. */
async function logOut() {
  await http.post('/api/logout');
  auth.forget();
}

/** Have everything about this user erased. */
async function erase() {
  await http.del('/api/me');
  auth.forget();
}

module.exports = { erase, logOut, me };
