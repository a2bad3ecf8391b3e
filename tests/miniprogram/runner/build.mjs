// Build a mini-program for the browser:  node runner/build.mjs <folder> <out> [--change <changes.json>] [--preview]
//
// <out> then is a static site: phone.html runs the pages; with --preview, index.html shows them in a frame.
// `changes.json` is a list of {file, find, replace}: the built copy differs there, <folder> stays as it is.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as esbuild from 'esbuild';
import { compile } from './compile/index.mjs';

const BROWSER = path.join(path.dirname(fileURLToPath(import.meta.url)), 'browser');
const CODE = /\.(js|json|wxml|wxss|wxs|ts|md)$/;

export async function build(folder, out, { changes = [], preview = false } = {}) {
  const changed = changes.length ? copyWith(changes, folder) : null;
  try {
    const result = await compile(changed ?? folder);
    fs.rmSync(out, { recursive: true, force: true });
    fs.mkdirSync(out, { recursive: true });
    fs.writeFileSync(path.join(out, 'miniprogram.js'), result.script);
    // Pictures and the like, where the pages' own paths find them.
    const assets = result.source.files().filter((file) => !CODE.test(file));
    for (const file of assets) {
      fs.cpSync(path.join(result.source.folder, file), path.join(out, 'files', file));
    }
    const entries = preview ? ['runtime', 'frame'] : ['runtime'];
    await esbuild.build({
      entryPoints: entries.map((name) => path.join(BROWSER, `${name}.mjs`)),
      bundle: true,
      format: 'iife',
      target: 'es2020',
      charset: 'utf8',
      loader: { '.css': 'text' },
      outdir: out,
      logLevel: 'error',
      minify: preview,
    });
    fs.copyFileSync(path.join(BROWSER, 'phone.html'), path.join(out, 'phone.html'));
    if (preview) fs.copyFileSync(path.join(BROWSER, 'frame.html'), path.join(out, 'index.html'));
    return result;
  } finally {
    if (changed) fs.rmSync(changed, { recursive: true });
  }
}

/** A copy of the folder with something else in some places; a change that hits nothing is an error. */
function copyWith(changes, folder) {
  const copy = fs.mkdtempSync(path.join(os.tmpdir(), 'miniprogram-'));
  fs.cpSync(folder, copy, { recursive: true });
  for (const { file, find, replace } of changes) {
    const text = fs.readFileSync(path.join(copy, file), 'utf8');
    if (!text.includes(find)) throw new Error(`${file} does not contain ${JSON.stringify(find)}`);
    fs.writeFileSync(path.join(copy, file), text.split(find).join(replace));
  }
  return copy;
}

/** Print the problems the way compilers do; true if there is none that has to be mended. */
export function report(problems) {
  for (const { file, line, column, message, severity } of problems) {
    console.error(`${file}:${line}:${column}: ${severity}: ${message}`);
  }
  return !problems.some(({ severity }) => severity === 'error');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { change: { type: 'string' }, preview: { type: 'boolean', default: false } },
  });
  const changes = values.change ? JSON.parse(fs.readFileSync(values.change, 'utf8')) : [];
  const [folder, out] = positionals;
  const result = await build(folder, out, { changes, preview: values.preview });
  if (!report(result.problems)) process.exit(1);
  console.log(`${result.pages.length} pages, ${result.units.length - result.pages.length} components → ${out}`);
}
