/**
 * The conversation on the screen and everything that is done to it. Knows the network only through the services
 * and the screen not at all: it says `onChange`, the page looks.
 */

const { ApiError } = require('../services/errors');
const { Following } = require('../services/answer');
const conversations = require('../services/conversations');
const { newId } = require('../utils/ids');
const { sentenceOf } = require('../utils/wording');
const history = require('./history');
const { settle } = require('./outcome');
const { fromServer, isOpen, makeTurn, merge } = require('./turn');

const TITLE = 20;

/**
 * @typedef {import('./turn').Turn} Turn
 * @typedef {import('./outcome').Outcome} Outcome
 */

class Thread {
  /** @param {(urgent: boolean) => void} onChange urgent: what the user did, or waits for */
  constructor(onChange) {
    this.onChange = onChange;
    this.conversation = history.create();
    /** @type {string | null} the page mark of the turns before those we have; null: there are none */
    this.earlier = null;
    /** @type {InstanceType<typeof Following> | null} */
    this.following = null;
    this.sleeping = false;
    /** @type {'' | 'loading' | 'failed'} whether there is nothing to show yet, or nothing to be had */
    this.loading = '';
  }

  get turns() {
    return this.conversation.turns;
  }

  /** @returns {'idle' | 'sending' | 'answering' | 'stopping'} */
  get stage() {
    const turn = this.following && this.following.turn;
    if (!turn) return 'idle';
    if (turn.stopping) return 'stopping';
    return turn.status === 'sending' ? 'sending' : 'answering';
  }

  // Opening

  /** Show a conversation: what the phone has at once, then what the server has. */
  async open(id) {
    this.leave();
    this.conversation = history.find(id) || Object.assign(history.create(), id ? { id } : {});
    this.earlier = null;
    history.setCurrent(this.conversation.id);
    const { conversation } = this;
    this.loading = !conversation.turns.length && !history.isLocal(conversation) ? 'loading' : '';
    this.onChange(true);
    this.pickUp();
    try {
      await this.refresh();
      if (conversation === this.conversation) this.loading = '';
    } catch (error) {
      if (conversation === this.conversation && this.loading) this.loading = 'failed';
      throw error;
    } finally {
      this.onChange(true);
    }
  }

  /** Lay the server's last turns over ours. Rejects like any service. */
  async refresh() {
    const { conversation } = this;
    if (history.isLocal(conversation)) return;
    const page = await conversations.turns(conversation.id).catch((error) => {
      if (error instanceof ApiError && error.status === 404) history.remove(conversation.id);
      throw error;
    });
    if (conversation !== this.conversation || this.following) return;
    conversation.turns = merge(conversation.turns, page.turns.map(fromServer));
    const [first] = conversation.turns;
    if (first) conversation.at = conversation.turns[conversation.turns.length - 1].at;
    if (first && !conversation.title) conversation.title = first.question.slice(0, TITLE);
    this.earlier = page.next;
    history.put(conversation);
    this.onChange(true);
    this.pickUp();
  }

  /** Load the turns before those we have. */
  async loadEarlier() {
    const { conversation, earlier } = this;
    if (!earlier) return;
    this.earlier = null; // one at a time
    try {
      const page = await conversations.turns(conversation.id, earlier);
      if (conversation !== this.conversation) return;
      const known = conversation.turns.map((turn) => turn.turnId);
      const older = page.turns.filter((state) => known.indexOf(state.turn_id) < 0).map(fromServer);
      conversation.turns = older.concat(conversation.turns);
      this.earlier = page.next;
      this.onChange(true);
    } catch (error) {
      if (conversation === this.conversation) this.earlier = earlier;
      throw error;
    }
  }

  /** Go on looking at an answer that was being written when we last saw it. */
  pickUp() {
    const turn = this.turns[this.turns.length - 1];
    if (this.following || !turn || !turn.turnId || !isOpen(turn)) return;
    this.follow(turn, null);
  }

  // Asking

  /** @param {string} question @param {boolean} thinking @returns {Promise<Outcome>} */
  ask(question, thinking) {
    const turn = makeTurn({ question, thinking, status: 'sending', requestId: newId() });
    if (!this.conversation.title) this.conversation.title = question.slice(0, TITLE);
    return this.send(turn);
  }

  /** Send a question that did not get through, or did and came to nothing. */
  async retry(key) {
    const turn = this.find(key);
    if (!turn || this.following) return {};
    if (turn.status === 'lost') {
      turn.status = 'answering';
      return this.follow(turn, null);
    }
    if (turn.status === 'failed' && turn.turnId) {
      // A new answer in the place of the failed one, so that the question stands there once.
      const outcome = await this.regenerate(key);
      if (!outcome.stale) return outcome;
    }
    // Without a word from the server it is the same request; after a failure it is a new one.
    const requestId = turn.status === 'unsent' && turn.requestId ? turn.requestId : newId();
    this.conversation.turns = this.turns.filter((one) => one !== turn);
    return this.send(makeTurn({ key: turn.key, question: turn.question, thinking: turn.thinking, status: 'sending', requestId }));
  }

  /** @param {Turn} turn @returns {Promise<Outcome>} */
  send(turn) {
    const { conversation } = this;
    conversation.turns = this.turns.concat(turn);
    conversation.at = turn.at;
    history.put(conversation);
    history.setCurrent(conversation.id);
    /** @type {any} */
    const body = { content: turn.question, client_request_id: turn.requestId };
    if (turn.thinking) body.thinking = true;
    if (!history.isLocal(conversation)) body.conversation_id = conversation.id;
    return this.follow(turn, { path: '/api/chat', body });
  }

  /** A new answer to the last question. Refused, the old one comes back. */
  async regenerate(key) {
    const turn = this.find(key);
    if (!turn || this.following || !turn.turnId) return {};
    const before = Object.assign({}, turn);
    const requestId = newId();
    Object.assign(turn, makeTurn({ key, at: turn.at, question: turn.question, thinking: turn.thinking, turnId: turn.turnId, status: 'sending', requestId }));
    return this.follow(turn, { path: `/api/turns/${before.turnId}/regenerate`, body: { client_request_id: requestId } }, before);
  }

  async stop() {
    const { following } = this;
    if (!following || this.stage !== 'answering') return;
    following.turn.stopping = true;
    this.onChange(true);
    try {
      await following.stop();
    } catch (error) {
      following.turn.stopping = false;
      this.onChange(true);
      throw error;
    }
  }

  /**
   * @param {Turn} turn
   * @param {import('../services/answer').Start | null} start null: go on looking
   * @param {Turn} [before] what to go back to if the server refuses
   * @returns {Promise<Outcome>}
   */
  async follow(turn, start, before) {
    const { conversation } = this;
    const following = new Following(turn, start, (news) => {
      if (news === 'accepted') this.accepted(conversation, turn);
      if (this.following === following) this.onChange(news !== '');
    });
    if (this.sleeping) following.sleep();
    this.following = following;
    this.onChange(true);
    /** @type {Outcome} */
    let outcome = {};
    try {
      const end = await following.run();
      if (!end) return {};
      Object.assign(turn, end, { detail: end.detail || (end.code ? sentenceOf(end.code) : '') });
      if (end.status === 'blocked') Object.assign(turn, { reply: '', reasoning: '' });
    } catch (error) {
      outcome = settle(conversation, turn, error, before);
    }
    turn.trouble = false;
    turn.stopping = false;
    if (this.following === following) this.following = null;
    history.put(conversation);
    this.onChange(true);
    return outcome;
  }

  /** The server took the question: now the conversation has its name. */
  accepted(conversation, turn) {
    if (turn.conversationId && conversation.id !== turn.conversationId) {
      if (history.current() === conversation.id) history.setCurrent(turn.conversationId);
      conversation.id = turn.conversationId;
    }
    history.put(conversation);
  }

  // Looking away

  sleep() {
    this.sleeping = true;
    if (this.following) this.following.sleep();
    if (this.turns.length) history.save();
  }

  wakeUp() {
    this.sleeping = false;
    if (this.following) this.following.resume();
  }

  leave() {
    const { following } = this;
    this.following = null;
    if (following) following.leave();
  }

  find(key) {
    return this.turns.find((turn) => turn.key === key);
  }
}

module.exports = { Thread };
