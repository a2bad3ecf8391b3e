// The compiler as a linter:  node runner/lint.mjs [folder]
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from './compile/index.mjs';
import { report } from './build.mjs';

const LARGEST = 300 * 1024; // WeChat takes 2 MB for the main package; a chat needs no more than this

const here = path.dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2] ?? path.join(here, '../../../miniprogram');
const { problems, source, files } = await compile(folder);

const size = source.files().reduce((sum, file) => sum + fs.statSync(path.join(source.folder, file)).size, 0);
if (size > LARGEST) source.blame('.', `the package has ${Math.round(size / 1024)} KB, at most ${LARGEST / 1024} are meant`);
for (const file of source.files().filter((each) => each.endsWith('.js') && !files.includes(each))) {
  source.blame(file, 'nothing requires it');
}
const network = /\bwx\s*\.\s*(request|uploadFile|downloadFile|connectSocket|cloud)\b/;
for (const file of files.filter((each) => !each.startsWith('services/'))) {
  source.read(file).split('\n').forEach((line, index) => {
    const code = line.replace(/^\s*(\*|\/\/|\/\*).*/, '');
    if (network.test(code)) source.blame(file, 'only services/ talks to the network', { line: index + 1 });
  });
}
if (!report(problems)) process.exit(1);
console.log(`miniprogram: ${files.length} scripts, ${Math.round(size / 1024)} KB, no problems`);
