// A native mini-program's folder → one script that sets `__MINIPROGRAM__`, and a list of what is wrong with it.
import { compileScripts } from './scripts.mjs';
import { collect, Source } from './source.mjs';
import { compileStyles } from './styles.mjs';
import { compileTemplates } from './templates.mjs';

export async function compile(folder) {
  const source = new Source(folder);
  const { app, pages, units } = collect(source);
  const templates = compileTemplates(source, units);
  const { styles, scopes } = compileStyles(source, app, units);
  const scripts = await compileScripts(source, units);
  const parts = Object.fromEntries(
    [...units].map(([name, { isPage, config, using, generics }]) => [
      name,
      { isPage, scope: scopes[name], config: { ...config, usingComponents: using, componentGenerics: generics } },
    ]),
  );
  const known = { app, pages, units: parts, styles, theme: source.json('theme.json') };
  const fields = Object.entries(known).map(([name, value]) => `${name}:${JSON.stringify(value)}`);
  const script = `window.__MINIPROGRAM__={${fields},templates:(${templates}),modules:${scripts.text}};`;
  return { script, pages, units: [...units.keys()], files: scripts.files, problems: source.problems, source };
}
