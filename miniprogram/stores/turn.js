/** A turn: a question and what is known of its answer. Plain data, as it is kept on the phone. */

const { newId } = require('../utils/ids');
const { parseTime } = require('../utils/time');

/**
 * @typedef {object} Turn
 * @property {string} key its name on the screen, the same for life
 * @property {string} turnId the server's name for it; '' until accepted
 * @property {string} conversationId
 * @property {string} requestId makes a repeated request the same request
 * @property {string} question
 * @property {number} at milliseconds
 * @property {string} status the server's, or `sending`, `unsent` (no word from the server), `lost` (none since it accepted)
 * @property {string} reply
 * @property {string} reasoning
 * @property {number} thoughtSeconds
 * @property {string} code
 * @property {string} detail
 * @property {string} rating
 * @property {string} cursor
 * @property {boolean} thinking asked with thinking on
 * @property {boolean} [trouble] the network is away while the answer is followed
 * @property {boolean} [stopping]
 */

const EMPTY = {
  turnId: '', conversationId: '', requestId: '', question: '', status: 'done', reply: '', reasoning: '',
  thoughtSeconds: 0, code: '', detail: '', rating: '', cursor: '', thinking: false,
};

/** @param {Partial<Turn>} known @returns {Turn} */
function makeTurn(known) {
  return Object.assign({ key: newId(), at: Date.now() }, EMPTY, known);
}

/** @param {import('../services/turns').TurnState} state @returns {Turn} */
function fromServer(state) {
  return makeTurn({
    key: `t${state.turn_id}`,
    turnId: state.turn_id,
    conversationId: state.conversation_id,
    question: state.question,
    at: parseTime(state.created_at),
    status: state.status,
    reply: state.reply,
    reasoning: state.reasoning,
    code: state.code || '',
    detail: state.detail || '',
    rating: state.rating || '',
  });
}

/** A turn as it comes back from storage: what was going on when the app ended is not going on any more. */
function fromStorage(kept) {
  const turn = makeTurn(kept);
  turn.trouble = false;
  turn.stopping = false;
  if (turn.status === 'sending') turn.status = turn.turnId ? 'lost' : 'unsent';
  return turn;
}

const isOpen = (turn) => ['sending', 'queued', 'answering'].indexOf(turn.status) >= 0;

/**
 * The server's turns laid over those we have: theirs win, ours that they do not know stay.
 * @param {Turn[]} ours
 * @param {Turn[]} theirs the conversation's last turns
 * @returns {Turn[]}
 */
function merge(ours, theirs) {
  const known = {};
  ours.forEach((turn) => {
    if (turn.turnId) known[turn.turnId] = turn;
  });
  const fresh = theirs.map((turn) => overlay(known[turn.turnId], turn));
  const inTheirs = (turn) => theirs.some((one) => one.turnId === turn.turnId);
  const first = theirs.length ? theirs[0].at : Infinity;
  const waiting = ours.filter((turn) => !turn.turnId && turn.status !== 'done');
  const older = ours.filter((turn) => (turn.turnId ? turn.at < first && !inTheirs(turn) : turn.status === 'done'));
  return older.concat(fresh, waiting.filter((turn) => !arrived(turn, fresh)));
}

/** The same turn, seen again: keeps its place on the screen and what only we know. */
function overlay(ours, theirs) {
  if (!ours) return theirs;
  const same = Object.keys(theirs).every((name) => MINE.indexOf(name) >= 0 || theirs[name] === ours[name]);
  if (same || isOpen(ours)) return ours;
  const mine = {};
  MINE.forEach((name) => {
    mine[name] = ours[name];
  });
  return Object.assign({}, theirs, mine, { detail: theirs.detail || ours.detail });
}
const MINE = ['key', 'at', 'requestId', 'thoughtSeconds', 'thinking', 'cursor', 'detail', 'conversationId'];

/** Whether a question we thought unsent did reach the server. */
function arrived(turn, theirs) {
  return theirs.some((one) => one.question === turn.question && one.at > turn.at - 60000);
}

module.exports = { fromServer, fromStorage, isOpen, makeTurn, merge };
