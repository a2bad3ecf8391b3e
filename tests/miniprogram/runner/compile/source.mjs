// The mini-program's folder as the compiler reads it: files, references between them, and what is wrong with them.
import fs from 'node:fs';
import path from 'node:path';

const { dirname, join, normalize } = path.posix;

export class Source {
  constructor(folder) {
    this.folder = path.resolve(folder);
    this.problems = [];
  }

  /** Note a fault; `severity` is 'error' or 'warning'. */
  blame(file, message, { line = 1, column = 1, severity = 'error' } = {}) {
    this.problems.push({ file, line, column, message, severity });
  }

  has(file) {
    const full = path.join(this.folder, file);
    return fs.existsSync(full) && fs.statSync(full).isFile();
  }

  /** The text of a file, or null. */
  read(file) {
    return this.has(file) ? fs.readFileSync(path.join(this.folder, file), 'utf8') : null;
  }

  /** The value of a JSON file; {} where there is none. */
  json(file) {
    try {
      return JSON.parse(this.read(file) ?? '{}');
    } catch (fault) {
      this.blame(file, fault.message);
      return {};
    }
  }

  /** The file a reference means, tried with each of the endings; null if there is none. */
  resolve(reference, from, endings) {
    const folder = dirname(from);
    const candidates = reference.startsWith('/') ? [reference.slice(1)] : [normalize(join(folder, reference))];
    if (!/^[./]/.test(reference)) {
      for (let above = folder; ; above = dirname(above)) {
        candidates.push(normalize(join(above, 'miniprogram_npm', reference)));
        if (above === '.' || above === '/') break;
      }
    }
    for (const candidate of candidates) {
      for (const ending of endings) if (this.has(candidate + ending)) return candidate + ending;
    }
    return null;
  }

  /** Every file below the folder, relative to it. */
  files(below = '') {
    return fs.readdirSync(path.join(this.folder, below), { withFileTypes: true }).flatMap((entry) => {
      const name = join(below, entry.name);
      return entry.isDirectory() ? this.files(name) : [name];
    });
  }
}

/** The pages and components that app.json leads to: a map from path (without ending) to what is known of each. */
export function collect(source) {
  const app = source.json('app.json');
  const found = new Map();

  const follow = (reference, from, what) => {
    const file = source.resolve(reference, from, ['.json', '/index.json']);
    if (!file) {
      source.blame(from, `${what}: there is no ${reference}`);
      return null;
    }
    const name = file.slice(0, -'.json'.length);
    visit(name, false);
    return `/${name}`;
  };

  const visit = (name, isPage) => {
    if (found.has(name)) return;
    const file = `${name}.json`;
    const config = source.json(file);
    const unit = { isPage, config, using: {}, generics: {} };
    found.set(name, unit);
    for (const [tag, reference] of Object.entries({ ...app.usingComponents, ...config.usingComponents })) {
      if (reference.startsWith('plugin://')) continue;
      const target = follow(reference, file, `usingComponents ${tag}`);
      if (target) unit.using[tag] = target;
    }
    for (const [tag, generic] of Object.entries(config.componentGenerics ?? {})) {
      const target = generic?.default && follow(generic.default, file, `componentGenerics ${tag}`);
      unit.generics[tag] = target ? { default: target } : true;
    }
  };

  const packages = app.subPackages ?? app.subpackages ?? [];
  const pages = [...(app.pages ?? []), ...packages.flatMap(({ root, pages }) => pages.map((page) => join(root, page)))];
  if (!pages.length) source.blame('app.json', 'no pages');
  for (const page of pages) visit(page, true);
  return { app, pages, units: found };
}
