/** What becomes of a question that came to nothing: it is never lost, in the list or in the input. */

const { ApiError } = require('../services/errors');
const history = require('./history');

/** The question itself was refused: it goes back into the input. */
const REFUSALS = ['content_blocked', 'quota_exceeded', 'user_blocked', 'invalid_message', 'too_large'];

/**
 * @typedef {import('./turn').Turn} Turn
 * @typedef {{refused?: string, kept?: boolean, stale?: boolean, unreachable?: boolean}} Outcome what the screen has to say;
 *   `kept`: the question stays in the list, `stale`: the server knows of a later one
 */

/**
 * @param {import('./history').Conversation} conversation
 * @param {Turn} turn
 * @param {any} error
 * @param {Turn} [before] what the turn was before a new answer was asked for
 * @returns {Outcome}
 */
function settle(conversation, turn, error, before) {
  if (!(error instanceof ApiError)) {
    if (before && !turn.conversationId) Object.assign(turn, before);
    else turn.status = turn.turnId ? 'lost' : 'unsent';
    return { unreachable: true };
  }
  if (before) {
    Object.assign(turn, before);
    return { refused: error.detail, kept: true, stale: error.status === 404 || error.status === 409 };
  }
  if (REFUSALS.indexOf(error.code) >= 0) {
    conversation.turns = conversation.turns.filter((one) => one !== turn);
    return { refused: error.detail };
  }
  if (error.status === 404) conversation.id = history.create().id; // deleted on another phone: asked again, it begins anew
  Object.assign(turn, { status: 'failed', code: error.code, detail: error.detail });
  return {};
}

module.exports = { settle };
