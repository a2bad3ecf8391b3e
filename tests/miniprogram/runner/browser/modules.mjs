// The logic layer: each file of the mini-program as a CommonJS module that sees only what a phone has.
import { GIVEN, MISSING } from '../sandbox.mjs';
import { createTimers } from './timers.mjs';

/** `register` takes what Page() and Component() are given; `behavior` makes a Behavior. */
export function createModules({ phone, program, wx, register, behavior }) {
  const cache = new Map();
  const timers = createTimers(phone);
  const globals = { ...timers, Promise, console, wx };

  function load(file) {
    if (cache.has(file)) return cache.get(file).exports;
    const module = { exports: {} };
    cache.set(file, module);
    const given = {
      module,
      exports: module.exports,
      require: (reference) => load(resolve(file, reference)),
      wx,
      App: (definition) => { phone.app = definition; },
      Page: register.Page,
      Component: register.Component,
      Behavior: behavior,
      getApp: () => phone.app,
      getCurrentPages: () => phone.stack.map(({ page }) => page),
      requirePlugin: (name) => { throw new Error(`no plugin ${name} here`); },
      globalThis: globals,
      console,
      ...timers,
    };
    program.modules[file](...GIVEN.map((name) => given[name]), ...MISSING.map(() => undefined));
    Object.assign(module.exports, phone.settings.overrides?.[file]);
    return module.exports;
  }

  function resolve(from, reference) {
    const folder = from.split('/').slice(0, -1);
    const bases = [reference.startsWith('/') ? reference.slice(1) : normalize([...folder, reference].join('/'))];
    if (!/^[./]/.test(reference)) {
      for (let depth = folder.length; depth >= 0; depth -= 1) {
        bases.push([...folder.slice(0, depth), 'miniprogram_npm', reference].join('/'));
      }
    }
    const found = bases.flatMap((base) => [base, `${base}.js`, `${base}/index.js`]).find((file) => program.modules[file]);
    if (!found) throw new Error(`module '${reference}' is not defined, required by ${from}`);
    return found;
  }

  return load;
}

function normalize(path) {
  const parts = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part && part !== '.') parts.push(part);
  }
  return parts.join('/');
}
