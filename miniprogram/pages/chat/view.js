/** A turn as the screen shows it: plain data, made anew after each change and compared with what is shown. */

const { parse } = require('../../utils/markdown');
const { pieces } = require('../../utils/pieces');
const { spoken } = require('../../utils/time');
const { RESUMING, sentenceOf } = require('../../utils/wording');

const PAUSE = 600000; // ms between turns after which the time is shown
const BAD = ['unsent', 'lost', 'failed'];

/**
 * @typedef {import('../../stores/turn').Turn} Turn
 * @typedef {ReturnType<typeof view>} TurnView
 */

/**
 * @param {Turn} turn
 * @param {Turn | undefined} before the turn above it
 * @param {boolean} last
 */
function view(turn, before, last) {
  const writing = ['sending', 'queued', 'answering'].indexOf(turn.status) >= 0;
  const musing = writing && !!turn.reasoning && !turn.reply;
  const note = noteOf(turn);
  return {
    key: turn.key,
    time: turn.at && (!before || turn.at - before.at > PAUSE) ? spoken(turn.at) : '',
    question: turn.question,
    answered: turn.status !== 'unsent' && (writing || !!(turn.reply || turn.reasoning || note)),
    waiting: writing && !turn.reply && !turn.reasoning,
    live: writing && !!turn.reply,
    blocks: turn.reply ? parse(turn.reply, writing) : [],
    musing,
    thought: turn.reasoning ? (writing ? pieces(turn.reasoning) : [turn.reasoning]) : [],
    thoughtLabel: musing ? '正在思考…' : turn.thoughtSeconds ? `已思考 ${turn.thoughtSeconds} 秒` : '思考过程',
    note,
    bad: BAD.indexOf(turn.status) >= 0,
    retry: retryOf(turn, last),
    ended: !writing && !!turn.reply,
    rateable: !!turn.turnId,
    again: last && !!turn.turnId && ['done', 'stopped'].indexOf(turn.status) >= 0,
    rating: turn.rating,
  };
}

function noteOf(turn) {
  if (turn.trouble) return RESUMING;
  if (turn.stopping) return '正在停止…';
  if (turn.status === 'unsent') return '没有发出去';
  if (turn.status === 'lost') return '网络断开，还没有收完';
  if (turn.status === 'stopped') return '已停止';
  if (turn.status === 'failed' || turn.status === 'blocked') return turn.detail || sentenceOf(turn.code);
  return '';
}

function retryOf(turn, last) {
  if (turn.status === 'lost') return '继续接收';
  if (turn.status === 'unsent' || (turn.status === 'failed' && last)) return '重试';
  return '';
}

/** Keeps views of turns that did not change, so that nobody looks into them again. */
class Views {
  constructor() {
    /** @type {Record<string, {facts: any, view: TurnView}>} */
    this.kept = {};
  }

  /** @param {Turn[]} turns those on the screen @returns {TurnView[]} */
  of(turns) {
    /** @type {Record<string, {facts: any, view: TurnView}>} */
    const now = {};
    turns.forEach((turn, i) => {
      const last = i === turns.length - 1;
      const facts = Object.assign({ last, above: i ? turns[i - 1].at : 0 }, turn);
      const kept = this.kept[turn.key];
      now[turn.key] = kept && same(kept.facts, facts) ? kept : { facts, view: view(turn, turns[i - 1], last) };
    });
    this.kept = now;
    return turns.map((turn) => now[turn.key].view);
  }
}

function same(one, other) {
  return Object.keys(other).every((name) => one[name] === other[name]);
}

module.exports = { Views, view };
