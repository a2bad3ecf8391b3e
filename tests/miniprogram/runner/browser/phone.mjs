// The phone: everything the pages do not see and a test may want to know or to change. It is `window.phone`.

/** What can go wrong, or be different, on a phone. `phone.faults` holds what a test has set; see README.md. */
const USUAL = {
  offline: false,
  loginFails: false, // true, or how many times
  splitBytes: 0, // chunks of so many bytes, whatever characters they cut
  failAfter: 0, // a chunked answer is cut after so many bytes
  failTimes: Infinity, // … and so often
  stallAfter: 0, // a chunked answer falls silent after so many bytes, the line stays open
  stallTimes: Infinity,
  noChunked: false, // an old base library: no onChunkReceived
  wholeBody: false, // a PC client: onChunkReceived is there and never called
  errorBodyLost: false, // with enableChunked, the body of an error reaches no callback
  abortKeepsOpen: false, // abort() reports, but the connection stays
  needPrivacy: false, // the privacy guide has not been agreed to
  denyPrivacy: false, // … and will not be
  denyRecord: false, // the microphone is refused
  recorderFails: '', // the recorder's error message
  uploadFails: false,
  storageBytes: 10 * 1024 * 1024,
  sdk: '3.7.12',
  platform: 'ios',
  system: 'iOS 17.5',
  fontSize: 16, // WeChat's own setting; 23 is its largest
  requestMs: 60_000, // the longest request
  backgroundMs: 5_000, // what a request has in the background
  containerMs: 15_000, // the longest callContainer
  timerSpeed: 1, // the pages' timers run so many times faster
};

export function createPhone(settings) {
  const listeners = new Map();
  const phone = {
    settings,
    faults: { ...USUAL, ...settings.faults },
    errors: [], // what would be red in DevTools
    warnings: [],
    calls: [], // every call of wx, in order: {api, args}
    updates: [], // every setData: {at, bytes, keys}
    stack: [], // pages, the one on the screen last
    files: {}, // temporary files: path → bytes
    clipboard: '',
    authorized: {}, // scope → true or false
    agreed: false, // to the privacy guide
    background: false,
    ready: false,
    on(name, listener) {
      if (!listeners.has(name)) listeners.set(name, new Set());
      listeners.get(name).add(listener);
    },
    off(name, listener) {
      if (listener) listeners.get(name)?.delete(listener);
      else listeners.delete(name);
    },
    /** Tell everyone who listens; a listener's error is the page's, not ours. */
    emit(name, ...args) {
      for (const listener of [...(listeners.get(name) ?? [])]) phone.guard(name, () => listener(...args));
    },
    listened: (name) => Boolean(listeners.get(name)?.size),
    /** Run code of the page. */
    guard(what, run) {
      try {
        const result = run();
        if (result && typeof result.catch === 'function') result.catch((fault) => phone.blame(what, fault));
        return result;
      } catch (fault) {
        phone.blame(what, fault);
        return undefined;
      }
    },
    blame(what, fault) {
      const text = `${what}: ${fault?.stack ?? fault?.errMsg ?? fault}`;
      phone.errors.push(text);
      console.error(text);
    },
    record: (api, args) => phone.calls.push({ api, args: plain(args), at: Date.now() }),
    page: () => phone.stack[phone.stack.length - 1]?.page,
    setFaults(changes) {
      for (const name of Object.keys(changes)) if (!(name in USUAL)) throw new Error(`no fault is called ${name}`);
      const before = networkType(phone);
      Object.assign(phone.faults, changes);
      const after = networkType(phone);
      if (before !== after) phone.emit('NetworkStatusChange', { isConnected: after !== 'none', networkType: after });
      document.documentElement.style.setProperty('--system-font-size', `${phone.faults.fontSize}px`);
    },
  };
  return phone;
}

export const networkType = (phone) => (phone.faults.offline ? 'none' : 'wifi');

/** A copy without functions and buffers, to be looked at. */
export function plain(value) {
  const text = JSON.stringify(value, (_, each) => {
    if (typeof each === 'function') return undefined;
    return each instanceof ArrayBuffer ? `[${each.byteLength} bytes]` : each;
  });
  return text === undefined ? null : JSON.parse(text);
}
