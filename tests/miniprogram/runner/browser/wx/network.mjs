// wx.request and wx.uploadFile over fetch, with what phones do to them: see `USUAL` in ../phone.mjs.
import { networkType } from '../phone.mjs';
import { Failure } from './api.mjs';

const MOST_AT_ONCE = 10;
const DISCONNECTED = { errno: 600003 };

export function addNetwork({ phone, wx, define, defineEvent, settle }) {
  const running = new Set();
  phone.requests = { running, most: 0, count: 0 };
  phone.on('interrupt', () => [...running].forEach((each) => each.end('interrupted')));

  defineEvent('NetworkStatusChange');
  define('getNetworkType', () => ({ networkType: networkType(phone) }));

  wx.request = (options) => {
    phone.record('request', options);
    const exchange = new Exchange('request', options);
    exchange.run(() => request(exchange, options));
    const task = {
      abort: () => exchange.abort(),
      onHeadersReceived: (listener) => exchange.headListeners.add(listener),
      offHeadersReceived: (listener) => exchange.headListeners.delete(listener),
    };
    if (phone.faults.noChunked) return task;
    return Object.assign(task, {
      onChunkReceived: (listener) => exchange.chunkListeners.add(listener),
      offChunkReceived: (listener) => exchange.chunkListeners.delete(listener),
    });
  };

  wx.uploadFile = (options) => {
    phone.record('uploadFile', options);
    const exchange = new Exchange('uploadFile', options);
    exchange.run(() => upload(exchange, options));
    return { abort: () => exchange.abort(), onProgressUpdate() {}, offProgressUpdate() {} };
  };

  /** One request on its way: however it ends, it ends once. */
  class Exchange {
    constructor(name, options) {
      this.name = name;
      this.options = options;
      this.controller = new AbortController();
      this.chunkListeners = new Set();
      this.headListeners = new Set();
      this.over = false;
    }

    async run(work) {
      running.add(this);
      phone.requests.count += 1;
      phone.requests.most = Math.max(phone.requests.most, running.size);
      const longest = Math.min(this.options.timeout ?? 60_000, 60_000) * (phone.faults.requestMs / 60_000);
      this.timer = setTimeout(() => this.end('timeout', { errno: 5 }), longest);
      try {
        // Even what fails at once is told later: the caller has to get its task first.
        await Promise.resolve();
        this.check();
        this.succeed(await work());
      } catch (fault) {
        if (fault instanceof Failure) this.end(fault.message, fault.more);
        else this.end(fault.name === 'TypeError' ? 'errcode:-102 cronet_error_code:-102 net::ERR_CONNECTION_REFUSED' : String(fault), DISCONNECTED);
      }
    }

    check() {
      const { url } = this.options;
      if (running.size > MOST_AT_ONCE) phone.errors.push(`more than ${MOST_AT_ONCE} requests at once`);
      if (phone.suspended) throw new Failure('interrupted');
      if (phone.faults.offline) throw new Failure('errcode:-106 net::ERR_INTERNET_DISCONNECTED', DISCONNECTED);
      if (!/^https?:\/\//.test(url)) throw new Failure(`invalid url "${url}"`);
      // The domain list of the mini-program's console; here there is one.
      if (new URL(url).origin !== new URL(phone.settings.api, location.href).origin) {
        phone.errors.push(`${url} is not in the domain list`);
        throw new Failure('url not in domain list', { errno: 600002 });
      }
    }

    succeed(value) {
      if (this.close()) settle(this.options, this.name, true, value);
    }

    end(reason, more) {
      if (!this.close()) return;
      if (reason !== 'abort' || !phone.faults.abortKeepsOpen) this.controller.abort();
      settle(this.options, this.name, false, new Failure(reason, more));
    }

    abort() {
      this.end('abort');
    }

    close() {
      if (this.over) return false;
      this.over = true;
      running.delete(this);
      clearTimeout(this.timer);
      return true;
    }

    headers(response) {
      const header = Object.fromEntries(response.headers);
      for (const listener of this.headListeners) {
        if (!this.over) phone.guard('onHeadersReceived', () => listener({ header, statusCode: response.status }));
      }
      return header;
    }

    chunk(bytes) {
      const data = bytes.slice().buffer;
      for (const listener of this.chunkListeners) {
        if (!this.over) phone.guard('onChunkReceived', () => listener({ data }));
      }
    }
  }

  async function request(exchange, options) {
    const { faults } = phone;
    const { url, method, headers, body } = asFetch(options);
    const response = await fetch(url, {
      method, headers, body, signal: exchange.controller.signal, credentials: 'omit', cache: 'no-store',
    });
    const header = exchange.headers(response);
    const result = { statusCode: response.status, header, cookies: [] };
    const chunked = options.enableChunked && !faults.noChunked && !faults.wholeBody;
    if (!chunked) {
      const buffer = await response.arrayBuffer();
      const lost = options.enableChunked && faults.errorBodyLost && response.status >= 400;
      return { ...result, data: lost ? '' : decoded(buffer, options) };
    }
    if (faults.errorBodyLost && response.status >= 400) {
      await response.arrayBuffer();
      return { ...result, data: '' };
    }
    await pass(response.body.getReader(), exchange);
    return { ...result, data: options.responseType === 'arraybuffer' ? new ArrayBuffer(0) : '' };
  }

  /** Pass the body on in chunks, with the faults that are set. */
  async function pass(reader, exchange) {
    let passed = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const { faults } = phone;
      if (faults.stallAfter && faults.stallTimes > 0 && passed + value.length > faults.stallAfter) {
        faults.stallTimes -= 1;
        exchange.chunk(value.slice(0, Math.max(0, faults.stallAfter - passed)));
        await new Promise(() => {}); // until it is aborted or its time is over
      }
      const cut = faults.failAfter && faults.failTimes > 0 && passed + value.length >= faults.failAfter;
      const rest = cut ? value.slice(0, Math.max(0, faults.failAfter - passed)) : value;
      const size = faults.splitBytes || rest.length;
      for (let at = 0; at < rest.length; at += size) exchange.chunk(rest.slice(at, at + size));
      passed += value.length;
      if (cut) {
        faults.failTimes -= 1;
        exchange.controller.abort();
        throw new Failure('errcode:-101 net::ERR_CONNECTION_RESET', DISCONNECTED);
      }
    }
  }

  async function upload(exchange, { url, filePath, name, header = {}, formData = {} }) {
    if (phone.faults.uploadFails) throw new Failure('net::ERR_CONNECTION_RESET', DISCONNECTED);
    const bytes = phone.files[filePath];
    if (!bytes) throw new Failure(`file not found: ${filePath}`);
    const form = new FormData();
    for (const [field, value] of Object.entries(formData)) form.append(field, value);
    const type = { mp3: 'audio/mpeg', aac: 'audio/aac', wav: 'audio/wav' }[filePath.split('.').pop()];
    form.append(name, new Blob([bytes], { type }), filePath.split('/').pop());
    const headers = Object.fromEntries(Object.entries(header).filter(([key]) => !/^content-type$/i.test(key)));
    const response = await fetch(url, { method: 'POST', body: form, headers, signal: exchange.controller.signal });
    return { statusCode: response.status, data: await response.text() };
  }
}

/** The options of wx.request as fetch has them. */
export function asFetch(options) {
  const method = (options.method ?? 'GET').toUpperCase();
  if (!['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'TRACE', 'CONNECT'].includes(method)) {
    throw new Failure(`method is invalid: ${method}`);
  }
  const lower = Object.entries(options.header ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]);
  const headers = { 'content-type': 'application/json', ...Object.fromEntries(lower) };
  const { data } = options;
  let { url } = options;
  let body;
  if (data !== undefined && data !== null) {
    const pairs = () => new URLSearchParams(Object.entries(data)).toString();
    if (typeof data === 'string' || data instanceof ArrayBuffer) body = data;
    else if (method === 'GET') url += (pairs() && (url.includes('?') ? '&' : '?')) + pairs();
    else body = headers['content-type'].includes('json') ? JSON.stringify(data) : pairs();
  }
  if (method === 'GET' || method === 'HEAD') {
    body = undefined;
    delete headers['content-type']; // a browser would ask for permission first, for nothing
  }
  return { url, method, headers, body };
}

/** The body the way the options want it. */
export function decoded(buffer, { responseType, dataType = 'json' }) {
  if (responseType === 'arraybuffer') return buffer;
  const text = new TextDecoder().decode(buffer);
  if (dataType !== 'json') return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
