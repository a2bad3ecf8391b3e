// The manners of wx functions: an object with success, fail and complete, or a promise; errMsg tells the outcome.

export class Failure extends Error {
  /** `more`: further fields of the failure, such as errno. */
  constructor(message, more = {}) {
    super(message);
    this.more = more;
  }
}

export function manners(phone, wx) {
  /** Call back as wx does; returns what the caller is told. */
  function settle(options, name, ok, value) {
    const result = ok
      ? { errMsg: `${name}:ok`, ...value }
      : { errMsg: `${name}:fail ${value?.message ?? value}`, ...value?.more };
    phone.guard(name, () => (ok ? options.success : options.fail)?.(result));
    phone.guard(name, () => options.complete?.(result));
    return result;
  }

  /** Define `wx.<name>`, which does `run` and answers in its own time. */
  function define(name, run) {
    wx[name] = (options = {}) => {
      phone.record(name, options);
      const outcome = (async () => run(options))().then(
        (value) => settle(options, name, true, value),
        (fault) => {
          const result = settle(options, name, false, fault);
          if (!options.fail && !options.success && !options.complete) throw result;
          return result;
        },
      );
      // With a callback wx returns nothing; without one, an unheard failure is an unhandled rejection.
      return options.success || options.fail || options.complete ? undefined : outcome;
    };
  }

  /** Define `wx.<name>`, which answers at once. */
  function defineSync(name, run) {
    wx[name] = (...args) => {
      phone.record(name, args);
      return run(...args);
    };
  }

  /** Define `wx.on<name>` and `wx.off<name>`. */
  function defineEvent(name) {
    wx[`on${name}`] = (listener) => phone.on(name, listener);
    wx[`off${name}`] = (listener) => phone.off(name, listener);
  }

  return { define, defineSync, defineEvent, settle };
}
