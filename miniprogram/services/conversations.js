/** The user's conversations as the server knows them. */

const http = require('./http');

/**
 * @typedef {{conversation_id: string, title: string, updated_at: string, turns: number}} Summary
 * @typedef {import('./turns').TurnState} TurnState
 */

/** @returns {Promise<{conversations: Summary[], next: string | null}>} newest first */
function list(before = '') {
  return http.get('/api/conversations', { before, limit: 50 });
}

/** @returns {Promise<{turns: TurnState[], next: string | null}>} the last turns, or those before a mark */
function turns(conversationId, before = '') {
  return http.get(`/api/conversations/${conversationId}`, { before, limit: 20 });
}

const rename = (conversationId, title) => http.put(`/api/conversations/${conversationId}`, { title });
const remove = (conversationId) => http.del(`/api/conversations/${conversationId}`);
const removeAll = () => http.del('/api/conversations');

module.exports = { list, remove, removeAll, rename, turns };
