/**
 * An answer's event stream by a chunked request.
 * WeChat's phones deliver chunks, PC clients may deliver the whole body at the end, some clients neither.
 */

const config = require('../config');
const { EventReader } = require('../utils/sse');
const { decode } = require('../utils/utf8');
const { asUser } = require('./http');
const { inCloud, problemOf, REQUEST_LIMIT } = require('./transport');

const CHUNKS_SINCE = [2, 20, 2]; // base library with enableChunked

let chunksArrive = true;
/** @type {Stream | null} only one chunked request is open at a time */
let current = null;

/** Whether streams can be expected to work here. */
function canStream() {
  return chunksArrive && !inCloud() && atLeast(CHUNKS_SINCE, wx.getAppBaseInfo ? wx.getAppBaseInfo().SDKVersion : '2.20.1');
}

/** Chunks do not get through here: until the app starts anew, answers are polled. */
function giveUpChunks() {
  chunksArrive = false;
}

function atLeast(wanted, version) {
  const parts = String(version).split('.').map(Number);
  const differs = wanted.findIndex((number, i) => number !== (parts[i] || 0));
  return differs < 0 || (parts[differs] || 0) > wanted[differs];
}

class Stream {
  /**
   * @param {string} path
   * @param {any} data
   * @param {(event: import('../utils/sse').ServerEvent) => void} onEvent
   */
  constructor(path, data, onEvent) {
    this.path = path;
    this.data = data;
    this.onEvent = onEvent;
    this.heard = Date.now(); // when the last chunk came
    this.chunks = 0;
    this.closed = false;
    /** @type {WechatMiniprogram.RequestTask | null} */
    this.task = null;
    /** @type {(end: {dropped: string}) => void} */
    this.settle = () => {};
  }

  /**
   * Run until the stream ends, for whatever reason.
   * @returns {Promise<{dropped: string}>} why it broke off, '' if it did not; rejects with the server's refusal
   */
  run() {
    if (current) current.close();
    current = this;
    return asUser((header) => this.request(header));
  }

  /** @returns {Promise<{dropped: string}>} */
  request(header) {
    return new Promise((resolve, reject) => {
      this.settle = resolve;
      if (this.closed) return resolve({ dropped: '' });
      const reader = new EventReader((event) => !this.closed && this.onEvent(event));
      this.task = wx.request({
        url: config.baseUrl + this.path,
        method: 'POST',
        data: this.data,
        header: Object.assign({ 'content-type': 'application/json', accept: 'text/event-stream' }, header),
        timeout: REQUEST_LIMIT,
        enableChunked: true,
        responseType: 'arraybuffer',
        success: (res) => {
          const body = /** @type {any} */ (res.data);
          const late = !this.chunks && body && body.byteLength > 0;
          if (res.statusCode === 200 && late) reader.feed(body);
          if (res.statusCode === 200) return resolve({ dropped: '' });
          const said = late ? new Uint8Array(body) : reader.rest;
          return reject(problemOf({ status: res.statusCode, data: decode(said), header: res.header || {} }));
        },
        fail: (err) => resolve({ dropped: this.closed ? '' : err.errMsg }),
      });
      if (!this.task || !this.task.onChunkReceived) {
        giveUpChunks();
        return this.close();
      }
      return this.task.onChunkReceived((res) => {
        this.heard = Date.now();
        this.chunks += 1;
        reader.feed(res.data);
      });
    });
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    if (current === this) current = null;
    if (this.task) this.task.abort();
    this.settle({ dropped: '' });
  }
}

module.exports = { Stream, canStream, giveUpChunks };
