import assert from 'node:assert/strict';
import test from 'node:test';
import markdown from '../../../miniprogram/utils/markdown.js';
import { chance } from './bytes.mjs';

const { parse } = markdown;
const plain = (blocks) => blocks.map((block) => (block.runs ?? []).map((run) => run.t).join('')).join('|');
const kinds = (text, live) => parse(text, live).map((block) => block.k);
const runs = (text) => parse(text)[0].runs.map(({ c, t, h }) => [c, t, ...(h ? [h] : [])]);

test('headings, paragraphs, rules', () => {
  assert.deepEqual(kinds('# 一\n\n二\n三\n\n---\n\n###### 六'), ['h1', 'p', 'hr', 'h4']);
  assert.equal(plain(parse('二\n三')), '二\n三');
  assert.deepEqual(kinds('#标签 不是标题'), ['p']);
});

test('emphasis, also where Chinese punctuation stands beside it', () => {
  assert.deepEqual(runs('**重点：**内容'), [['strong', '重点：'], ['', '内容']]);
  assert.deepEqual(runs('a *斜* ~~删~~ `码*`'), [['', 'a '], ['em', '斜'], ['', ' '], ['del', '删'], ['', ' '], ['code', '码*']]);
  assert.deepEqual(runs('snake_case_name 2*3*4'), [['', 'snake_case_name 2*3*4']]);
  assert.deepEqual(runs('\\*不是\\*'), [['', '*不是*']]);
});

test('lists keep their numbers and their depth', () => {
  const blocks = parse('3. 三\n4. 四\n   - 里\n     - 更里\n- [x] 好\n- [ ] 没');
  assert.deepEqual(blocks.map((block) => [block.i, block.m]), [[1, '3.'], [1, '4.'], [2, '◦'], [3, '•'], [1, '☑'], [1, '☐']]);
});

test('quotes, and code in a list', () => {
  assert.deepEqual(parse('> 引\n> > 再引').map((block) => block.q), [1, 2]);
  const [item, code] = parse('- 看：\n  ```js\n  let a\n  ```');
  assert.deepEqual([item.m, code.k, code.lang, code.lines, code.i], ['•', 'code', 'js', ['let a'], 1]);
});

test('tables, also with bars in code and missing cells', () => {
  const [table] = parse('| 甲 | 乙 |\n|---|:-:|\n| `a|b` | 二 |\n| 三 |');
  assert.equal(table.k, 'table');
  assert.deepEqual(table.rows.map((row) => row.cells.map((cell) => cell.runs.map((run) => run.t).join(''))), [
    ['甲', '乙'], ['a|b', '二'], ['三', ''],
  ]);
});

test('links keep their address, and nothing is a script', () => {
  assert.deepEqual(runs('[站](https://a.cn/b_(c) "t")')[0], ['link', '站', 'https://a.cn/b_(c)']);
  assert.deepEqual(runs('看https://a.cn/x。好')[1], ['link', 'https://a.cn/x', 'https://a.cn/x']);
  assert.equal(plain(parse('<script>alert(1)</script>')), '<script>alert(1)</script>');
});

test('formulas stay readable', () => {
  assert.deepEqual(runs('$x^2+\\frac{a}{b}$')[0], ['math', 'x²+a/b']);
  assert.equal(plain(parse('$$\n\\sqrt{2} \\leq 3\n$$')), '√2 ≤ 3');
  assert.deepEqual(runs('花了 $5 和 $6'), [['', '花了 $5 和 $6']]);
});

const LONG = `# 标题

一段**重点**文字，带 \`代码\` 和[链接](https://a.cn)，公式 $x^2$。

1. 一
   - 里 *斜*
2. 二

> 引用

\`\`\`python
def f():
    return "**不是重点**"
\`\`\`

| 甲 | 乙 |
|---|---|
| 1 | 2 |

👩‍💻 完`;

test('every beginning of an answer can be shown, and the whole is the same however it came', () => {
  for (let end = 0; end <= LONG.length; end += 1) {
    for (const block of parse(LONG.slice(0, end), true)) assert.ok(block.k);
  }
  const text = (blocks) => JSON.stringify(blocks.map((block) => [block.k, block.m, (block.runs ?? []).map((run) => run.t).join(''), (block.lines ?? []).join('\n')]));
  assert.equal(text(parse(LONG, true)), text(parse(LONG)));
});

test('while it is written, marks that may become something do not flicker', () => {
  assert.equal(plain(parse('好\n#', true)), '好');
  assert.equal(plain(parse('**重', true)), '重');
  assert.equal(plain(parse('[链](htt', true)), '链');
  assert.deepEqual(kinds('| 甲 | 乙 |\n|-', true), ['table']);
});

test('no text makes it throw or loses letters', () => {
  const random = chance(3);
  const signs = ['#', '*', '_', '`', '~', '>', '-', '1.', '|', '[', ']', '(', ')', '!', '<', '$', '\\', '\n', '\n\n', ' ', '    ', '字', 'a', '😀', 'http://a.b', '```'];
  for (let round = 0; round < 4000; round += 1) {
    const text = Array.from({ length: 14 }, () => signs[Math.floor(random() * signs.length)]).join('');
    for (const live of [false, true]) {
      const shown = JSON.stringify(parse(text, live));
      for (const letter of ['字', 'a', '😀']) {
        const inLink = /http|\]\(|\$|```/.test(text); // addresses and languages of code are not text
        if (!inLink && text.includes(letter)) assert.ok(shown.includes(letter), JSON.stringify(text));
      }
    }
  }
});

for (const [name, text] of Object.entries({
  stars: '*'.repeat(4000), brackets: '['.repeat(4000), quotes: `${'> '.repeat(2000)}x`, ticks: '`a'.repeat(3000), bars: '|a'.repeat(4000),
  dollars: '$a '.repeat(3000), lists: Array.from({ length: 300 }, (_, depth) => `${'  '.repeat(depth)}- x`).join('\n'),
  fractions: `$${'\\frac{'.repeat(800)}$`, underscores: '_a'.repeat(4000), links: '[a](b '.repeat(1500), tildes: '~~a'.repeat(2000),
})) {
  test(`a hostile text takes no longer than a friendly one: ${name}`, () => {
    const began = Date.now();
    parse(text);
    parse(text, true);
    assert.ok(Date.now() - began < 2000, `${Date.now() - began} ms`);
  });
}
