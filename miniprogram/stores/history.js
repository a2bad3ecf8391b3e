/**
 * The last conversations, kept on the phone: they are on the screen before the network answers.
 * One storage key, the tutorial's, bounded in size.
 */

const { newId } = require('../utils/ids');
const { keep } = require('../utils/keep');
const { takeOver } = require('./legacy');
const { fromStorage } = require('./turn');

const KEY = 'aiChatHistory';
const VERSION = 2;
const MOST_CONVERSATIONS = 20;
const MOST_TURNS = 30; // of one conversation; the server has the rest
const MOST_CHARS = 300000; // a key may hold 1 MB

/**
 * @typedef {import('./turn').Turn} Turn
 * @typedef {{id: string, title: string, at: number, turns: Turn[]}} Conversation
 */

/** @type {{current: string, conversations: Conversation[]} | null} newest first */
let kept = null;

function state() {
  if (!kept) kept = load();
  return kept;
}

/** @returns {{current: string, conversations: Conversation[]}} */
function load() {
  const stored = read();
  if (stored && stored.version === VERSION) {
    const conversations = stored.conversations.map((one) => Object.assign({}, one, { turns: one.turns.map(fromStorage) }));
    return { current: stored.current, conversations };
  }
  const turns = takeOver(stored);
  if (!turns.length) return { current: '', conversations: [] };
  const old = Object.assign(create(), { title: '以前的对话', turns });
  return { current: old.id, conversations: [old] };
}

function read() {
  try {
    return wx.getStorageSync(KEY);
  } catch (_) {
    return null;
  }
}

/** @returns {Conversation} one the server has not named yet */
function create() {
  return { id: `local-${newId()}`, title: '', at: Date.now(), turns: [] };
}

const isLocal = (conversation) => conversation.id.indexOf('local-') === 0;

/** @param {string} id @returns {Conversation | undefined} */
function find(id) {
  return state().conversations.find((one) => one.id === id);
}

/** @param {Conversation} conversation becomes the newest */
function put(conversation) {
  const all = state();
  all.conversations = [conversation].concat(all.conversations.filter((one) => one !== conversation && one.id !== conversation.id));
  save();
}

function remove(id) {
  const all = state();
  all.conversations = all.conversations.filter((one) => one.id !== id);
  if (all.current === id) all.current = '';
  save();
}

function clear() {
  kept = { current: '', conversations: [] };
  wx.removeStorageSync(KEY);
}

const current = () => state().current;

function setCurrent(id) {
  state().current = id;
  save();
}

/** Write what fits; the oldest conversations give way, the server has them. */
function save() {
  const all = state();
  const kept = () => all.conversations.map((one) => Object.assign({}, one, { turns: one.turns.slice(-MOST_TURNS) }));
  all.conversations = all.conversations.slice(0, MOST_CONVERSATIONS);
  while (all.conversations.length > 1 && JSON.stringify(kept()).length > MOST_CHARS) all.conversations.pop();
  // Where not even the last turns have room, everything is still on the screen and on the server.
  if (!write(kept())) write(kept().slice(0, 1).map((one) => Object.assign(one, { turns: one.turns.slice(-3) })));
}

const write = (conversations) => keep(KEY, { version: VERSION, current: state().current, conversations });

module.exports = {
  clear, conversations: () => state().conversations, create, current, find, isLocal, put, remove, save, setCurrent,
};
