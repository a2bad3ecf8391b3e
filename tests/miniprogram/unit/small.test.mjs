// The small helpers.
import assert from 'node:assert/strict';
import test from 'node:test';
import diffing from '../../../miniprogram/utils/diff.js';
import ids from '../../../miniprogram/utils/ids.js';
import latex from '../../../miniprogram/utils/latex.js';
import cutting from '../../../miniprogram/utils/pieces.js';
import throttling from '../../../miniprogram/utils/throttle.js';
import time from '../../../miniprogram/utils/time.js';
import wording from '../../../miniprogram/utils/wording.js';

/** What setData does with a patch. */
function applied(data, patch) {
  const copy = structuredClone(data);
  for (const [path, value] of Object.entries(patch)) {
    const keys = path.split(/[.[\]]+/).filter(Boolean);
    const last = keys.pop();
    keys.reduce((each, key) => each[key], copy)[last] = value;
  }
  return copy;
}

test('a patch makes the one into the other, and holds no more than it must', () => {
  const before = { turns: [{ text: '一', runs: [1, 2] }, { text: '二' }] };
  for (const after of [
    before,
    { turns: [{ text: '一', runs: [1, 3] }, { text: '二' }] },
    { turns: [{ text: '一', runs: [1, 2, 3] }, { text: '二' }, { text: '三' }] },
    { turns: [{ text: '一' }] },
    { turns: [{ text: '一', runs: null }, { text: '二', more: {} }] },
    { turns: 'nothing' },
  ]) {
    assert.deepEqual(applied(before, diffing.diff(before, after, '')), after);
  }
  assert.deepEqual(diffing.diff(before, { turns: [before.turns[0], { text: '二。' }] }, ''), { 'turns[1].text': '二。' });
});

test('pieces are the text, their beginnings stay, and no sign is taken apart', () => {
  const text = 'a👩‍💻🇨🇳👍🏽é字'.repeat(40);
  for (let end = 0; end <= text.length; end += 7) {
    const some = cutting.pieces(text.slice(0, end));
    assert.equal(some.join(''), text.slice(0, end));
    const later = cutting.pieces(text.slice(0, end + 30));
    assert.deepEqual(later.slice(0, some.length - 1), some.slice(0, -1));
  }
  const whole = [...new Intl.Segmenter('zh', { granularity: 'grapheme' }).segment(text)].map((each) => each.index);
  let at = 0;
  for (const piece of cutting.pieces(text).slice(0, -1)) {
    at += piece.length;
    assert.ok(whole.includes(at), `cut at ${at}`);
  }
});

test('work is done at once, then in its own pace, and never lost', async () => {
  const times = [];
  const throttle = new throttling.Throttle(() => times.push(Date.now()), 60);
  const began = Date.now();
  for (let i = 0; i < 20; i += 1) {
    throttle.ask();
    await new Promise((resolve) => { setTimeout(resolve, 8); });
  }
  await new Promise((resolve) => { setTimeout(resolve, 80); });
  assert.ok(times[0] - began < 20);
  assert.ok(times.length >= 2 && times.length <= 6, `${times.length} times`);
  for (let i = 1; i < times.length; i += 1) assert.ok(times[i] - times[i - 1] >= 55);
});

test('names are never the same', () => {
  const names = new Set(Array.from({ length: 5000 }, ids.newId));
  assert.equal(names.size, 5000);
  for (const name of names) assert.match(name, /^[\w-]{8,128}$/);
});

test('times are told as people tell them', () => {
  const now = new Date(2026, 2, 5, 9, 30).getTime();
  const told = (...then) => time.spoken(new Date(...then).getTime(), now);
  assert.equal(told(2026, 2, 5, 0, 5), '00:05');
  assert.equal(told(2026, 2, 4, 23, 59), '昨天 23:59');
  assert.equal(told(2026, 0, 1, 1, 1), '1月1日');
  assert.equal(told(2025, 11, 31, 1, 1), '2025年12月31日');
  assert.equal(time.parseTime('2026-03-05T01:30:00.000Z'), Date.UTC(2026, 2, 5, 1, 30));
  assert.equal(time.parseTime('no time'), 0);
});

test('every code has a sentence, and copied text its label', () => {
  for (const code of ['content_blocked', 'quota_exceeded', 'busy', 'model_timeout', 'something_new']) {
    assert.match(wording.sentenceOf(code), /[\u4e00-\u9fff].*。$/);
  }
  assert.equal(wording.labelled('答', ''), '答\n\n（内容由 AI 生成）');
});

test('formulas of every kind stay readable', () => {
  for (const [source, shown] of [
    ['\\frac{1}{2}', '1/2'],
    ['\\frac{a+b}{c}', '(a+b)/c'],
    ['x_1^{10}', 'x₁¹⁰'],
    ['\\sqrt[3]{x}', '³√x'],
    ['a^{b+q}', 'a^(b+q)'],
    ['\\alpha \\leq \\infty', 'α ≤ ∞'],
    ['\\text{速度}=\\mathrm{m/s}', '速度=m/s'],
    ['\\begin{cases} x & 1 \\\\ y & 2 \\end{cases}', 'x 1\ny 2'],
  ]) assert.equal(latex.readable(source), shown, source);
});
