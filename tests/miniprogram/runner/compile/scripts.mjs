// JavaScript → functions that see only what a phone's logic layer has.
import * as esbuild from 'esbuild';
import { GIVEN, MISSING } from '../sandbox.mjs';

const REQUIRE = /\brequire\(\s*["']([^"']+)["']\s*\)/g;

/** The text of an object literal: each reachable file by its path, as a function of the sandbox's names. */
export async function compileScripts(source, units) {
  const modules = new Map();

  const add = async (file) => {
    if (modules.has(file)) return;
    modules.set(file, '');
    const text = source.read(file);
    check(source, file, text);
    let code;
    try {
      ({ code } = await esbuild.transform(text, { loader: 'js', format: 'cjs', target: 'es2018', sourcefile: file, logLevel: 'silent' }));
    } catch (fault) {
      for (const { text: message, location } of fault.errors ?? [{ text: fault.message }]) {
        source.blame(file, message, { line: location?.line, column: (location?.column ?? 0) + 1 });
      }
      return;
    }
    modules.set(file, code);
    for (const [, reference] of code.matchAll(REQUIRE)) {
      const target = source.resolve(reference, file, ['', '.js', '/index.js']);
      if (target) await add(target);
      else source.blame(file, `require: there is no ${reference}`);
    }
  };

  for (const file of ['app.js', ...[...units.keys()].map((name) => `${name}.js`)]) {
    if (source.has(file)) await add(file);
    else source.blame(file, 'is missing');
  }
  const names = [...GIVEN, ...MISSING].join(',');
  const entries = [...modules].map(
    // A function within the function: a file may declare a name of the sandbox for itself.
    ([file, code]) => `${JSON.stringify(file)}:function(${names}){(function(){${code}\n}).call(undefined)}`,
  );
  return { text: `{${entries.join(',\n')}}`, files: [...modules.keys()] };
}

/** What parses here and fails on some phones. */
function check(source, file, text) {
  text.split('\n').forEach((line, index) => {
    if (/\/.*\(\?<[=!]/.test(line)) {
      source.blame(file, 'a regular expression with lookbehind: a syntax error before iOS 16.4', { line: index + 1 });
    }
  });
}
