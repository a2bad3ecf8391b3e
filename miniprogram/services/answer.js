/**
 * Follows one answer to its end, whatever the network does: ask → stream → poll.
 * The answer is written on the server whether we look or not; what we saw last is the cursor.
 */

const { ApiError, NetworkError } = require('./errors');
const http = require('./http');
const { Patience } = require('./patience');
const { Stream, canStream, giveUpChunks } = require('./stream');
const turns = require('./turns');

const SILENCE = 3000; // ms without a chunk, then we look whether text is waiting
const POLL_SECONDS = 8; // callContainer ends after 15
const POLL_GAP = 250; // ms between polls while text comes
const GIVE_UP = 120000; // ms of failing polls
const TROUBLE_SHOWN = 600; // ms a word about trouble stays at least: no flicker

const FINAL = ['done', 'stopped', 'failed', 'blocked'];

/**
 * @typedef {import('../stores/turn').Turn} Turn
 * @typedef {{path: string, body: any}} Start the request that asks for the answer
 * @typedef {{status: string, code: string, detail: string}} End
 */

class Following {
  /**
   * @param {Turn} turn what comes is written into it
   * @param {Start | null} start null: it was asked for before
   * @param {(news: '' | 'accepted' | 'begun') => void} onChange
   */
  constructor(turn, start, onChange) {
    this.turn = turn;
    this.start = start;
    this.onChange = onChange;
    /** @type {InstanceType<typeof Stream> | null} */
    this.stream = null;
    /** @type {End | null} */
    this.end = null;
    this.left = false; // nobody looks any more
    this.patience = new Patience();
    this.accepted = !start;
    this.thinkingSince = 0;
    this.failing = 0; // since when polls fail
    this.troubleSince = 0;
  }

  /** @returns {Promise<End | null>} null if left; rejects with ApiError or NetworkError */
  async run() {
    if (this.start) {
      if (canStream()) await this.watchStream(this.start);
      if (!this.over() && !this.accepted) await this.post(this.start);
    }
    while (!this.over()) await this.poll();
    return this.left ? null : this.end;
  }

  over() {
    return this.left || this.end !== null;
  }

  /** Stop looking; the server goes on writing. */
  leave() {
    this.left = true;
    this.finish(null);
  }

  /** The app went to the background, where requests die after seconds. */
  sleep() {
    this.patience.sleep();
    if (this.accepted && this.stream) this.stream.close();
  }

  /** The app is back, or the network: look at once. */
  resume() {
    this.patience.resume();
  }

  /** Have the server stop writing. */
  async stop() {
    const state = await turns.stop(this.turn.turnId).catch(() => turns.stop(this.turn.turnId));
    if (this.over() || FINAL.indexOf(state.status) < 0) return; // written elsewhere: its end comes by the stream
    Object.assign(this.turn, { reply: state.reply, reasoning: state.reasoning, cursor: state.next });
    this.finish({ status: state.status, code: '', detail: '' });
  }

  finish(end) {
    this.end = this.end || end;
    if (this.stream) this.stream.close();
    this.patience.end();
  }

  /** @param {Start} start */
  async watchStream(start) {
    const { path, body } = start;
    const stream = new Stream(path, Object.assign({ stream: true }, body), (event) => this.hear(event));
    this.stream = stream;
    let checking = false;
    const timer = setInterval(() => {
      if (checking || this.patience.asleep || Date.now() - stream.heard < SILENCE) return;
      checking = true;
      this.check(stream, start).then(() => {
        checking = false;
        stream.heard = Math.max(stream.heard, Date.now() - SILENCE / 2);
      });
    }, 500);
    try {
      const { dropped } = await stream.run();
      if (!this.over() && !this.patience.asleep && dropped && !/timeout/.test(dropped)) this.trouble();
    } catch (error) {
      // Under enableChunked the body of a refusal may get lost: asking plainly, under the same name, tells what it was.
      if (!(error instanceof ApiError && error.code === 'internal')) throw error;
    } finally {
      clearInterval(timer);
      this.stream = null;
    }
  }

  /** The stream is silent: is the model, or do chunks not get through? */
  async check(stream, start) {
    try {
      if (!this.accepted) await this.post(start);
      if (this.over() || stream.closed) return;
      const asked = this.turn.cursor;
      const look = await turns.look(this.turn.turnId, asked, 0);
      const news = look.next !== asked && (look.reply || look.reasoning || look.reset);
      if (this.over() || stream.closed || this.turn.cursor !== asked) return;
      if (!news && FINAL.indexOf(look.status) < 0) return;
      if (!stream.chunks) giveUpChunks();
      this.take(look);
      stream.close();
    } catch (error) {
      // The stream will find out by itself, or a later check.
    }
  }

  /** @param {import('../utils/sse').ServerEvent} event */
  hear(event) {
    const data = JSON.parse(event.data);
    if (event.event === 'start') this.accept(data);
    else if (event.event === 'reset') this.write('', '', event.id, true);
    else if (event.event === 'reasoning') this.write('', data.text, event.id, false);
    else if (event.event === 'delta') this.write(data.text, '', data.next, false);
    else if (event.event === 'error') this.finish({ status: statusOf(data.code), code: data.code, detail: data.detail || '' });
    else if (event.event === 'done') {
      this.turn.reply = data.reply;
      this.finish({ status: data.status || 'done', code: '', detail: '' });
    }
  }

  /** Ask without a stream; asked again under the same name, it is the same turn. @param {Start} start */
  async post({ path, body }) {
    const plain = Object.assign({ stream: false, wait: 0 }, body);
    await this.patience.awake();
    let answer;
    try {
      answer = await http.post(path, plain, 15000);
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error;
      await this.patience.rest(1000);
      answer = await http.post(path, plain, 15000);
    }
    this.accept(answer);
    if (FINAL.indexOf(answer.status) < 0) return;
    this.write(answer.reply, answer.reasoning, this.turn.cursor, true);
    this.finish({ status: answer.status, code: '', detail: '' });
  }

  /** One look at the answer; failing ones are repeated until the network is back. */
  async poll() {
    await this.patience.awake();
    if (this.over()) return;
    const began = Date.now();
    try {
      this.take(await turns.look(this.turn.turnId, this.turn.cursor, POLL_SECONDS));
      this.failing = 0;
      this.calm();
      await this.patience.rest(began + POLL_GAP - Date.now());
    } catch (error) {
      if (error instanceof ApiError && error.status < 500 && error.status !== 429) {
        this.finish({ status: 'failed', code: error.code, detail: error.detail });
        return;
      }
      this.failing = this.failing || began;
      if (!this.patience.asleep) this.trouble();
      if (Date.now() - this.failing > GIVE_UP && !this.patience.asleep) throw new NetworkError('gave up');
      await this.patience.rest(Math.min(500 + (Date.now() - this.failing) / 2, 5000));
    }
  }

  /** @param {import('./turns').TurnState} look */
  take(look) {
    if (this.over()) return;
    this.turn.status = look.status;
    this.write(look.reply, look.reasoning, look.next, look.reset || !this.turn.cursor);
    if (FINAL.indexOf(look.status) >= 0) {
      this.finish({ status: look.status, code: look.code || '', detail: look.detail || '' });
    }
  }

  // What is known of the answer

  accept(names) {
    const first = !this.accepted;
    this.accepted = true;
    this.turn.turnId = names.turn_id;
    this.turn.conversationId = names.conversation_id || '';
    if (first) this.turn.status = 'answering';
    this.onChange(first ? 'accepted' : '');
  }

  write(reply, reasoning, cursor, anew) {
    const turn = this.turn;
    const begun = !turn.reply && !turn.reasoning; // the first character is not kept waiting
    turn.reply = (anew ? '' : turn.reply) + (reply || '');
    turn.reasoning = (anew ? '' : turn.reasoning) + (reasoning || '');
    turn.cursor = cursor;
    if (reasoning && !this.thinkingSince) this.thinkingSince = Date.now();
    if (reply && this.thinkingSince && !turn.thoughtSeconds) {
      turn.thoughtSeconds = Math.max(1, Math.round((Date.now() - this.thinkingSince) / 1000));
    }
    this.onChange(begun && (reply || reasoning) ? 'begun' : '');
  }

  trouble() {
    if (this.turn.trouble) return;
    this.turn.trouble = true;
    this.troubleSince = Date.now();
    this.onChange('');
  }

  calm() {
    if (!this.turn.trouble) return;
    const clear = () => {
      this.turn.trouble = false;
      this.onChange('');
    };
    const left = this.troubleSince + TROUBLE_SHOWN - Date.now();
    if (left <= 0 || this.over()) clear();
    else setTimeout(() => !this.failing && clear(), left);
  }
}

function statusOf(code) {
  return code === 'content_blocked' ? 'blocked' : 'failed';
}

module.exports = { FINAL, Following };
