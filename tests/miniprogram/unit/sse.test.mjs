import assert from 'node:assert/strict';
import test from 'node:test';
import sse from '../../../miniprogram/utils/sse.js';
import { buffer, bytes, chance } from './bytes.mjs';

const STREAM = ': \n\nevent: start\nid: 1.0\ndata: {"turn_id":"7"}\n\nevent: delta\nid: 1.3\ndata: {"text":"你好😀"}\n\n'
  + ': 静\n\nevent: done\r\nid: 1.4\r\ndata: a\r\ndata: b\r\n\r\n';
const EVENTS = [
  { event: 'start', id: '1.0', data: '{"turn_id":"7"}' },
  { event: 'delta', id: '1.3', data: '{"text":"你好😀"}' },
  { event: 'done', id: '1.4', data: 'a\nb' },
];

function read(chunks) {
  const events = [];
  const reader = new sse.EventReader((event) => events.push(event));
  for (const chunk of chunks) reader.feed(buffer(chunk));
  return events;
}

test('a stream in one chunk', () => assert.deepEqual(read([bytes(STREAM)]), EVENTS));

test('a stream in chunks of every size, cut inside characters', () => {
  const all = bytes(STREAM);
  for (let size = 1; size < 40; size += 1) {
    const chunks = [];
    for (let at = 0; at < all.length; at += size) chunks.push(all.slice(at, at + size));
    assert.deepEqual(read(chunks), EVENTS, `in chunks of ${size}`);
  }
});

test('a stream cut at random, empty chunks included', () => {
  const random = chance(2);
  const all = bytes(STREAM);
  for (let round = 0; round < 300; round += 1) {
    const cuts = Array.from({ length: 6 }, () => Math.floor(random() * (all.length + 1))).sort((a, b) => a - b);
    const chunks = [0, ...cuts].map((from, index) => all.slice(from, cuts[index] ?? all.length));
    assert.deepEqual(read(chunks), EVENTS, String(cuts));
  }
});

test('an event whose end has not come is not told', () => assert.deepEqual(read([bytes('event: delta\ndata: x\n')]), []));

test('many chunks of a long line are read in reasonable time', () => {
  const line = bytes(`data: ${'长'.repeat(20_000)}\n\n`);
  const began = Date.now();
  const chunks = [];
  for (let at = 0; at < line.length; at += 100) chunks.push(line.slice(at, at + 100));
  assert.equal(read(chunks)[0].data.length, 20_000);
  assert.ok(Date.now() - began < 1000);
});
