// WXML and WXS → one JavaScript expression, by glass-easel's own compiler (what the framework of WeChat uses).
import { createRequire } from 'node:module';
import path from 'node:path';
import { TAGS, TEMPLATE_TAGS } from '../sandbox.mjs';

const { TmplGroup } = createRequire(import.meta.url)('glass-easel-template-compiler');
const { dirname, join, normalize } = path.posix;

// What WXS has and JavaScript lacks.
const WXS_RUNTIME = `
var getDate = function () {
  return arguments.length ? new (Function.prototype.bind.apply(Date, [null].concat([].slice.call(arguments))))() : new Date();
}, getRegExp = function (pattern, flags) {
  return new RegExp(pattern, flags);
}, __typeName = function (value) {
  if (value === null || value === undefined) return undefined;
  return !value.constructor || value.constructor === Object ? 'Object' : value.constructor.name;
};`;

/** In WXS `require` keeps the ending, and `x.constructor` is the name of a type. */
function toJavaScript(wxs) {
  return wxs
    .replace(/require\((['"])([^'"]+)\.wxs\1\)/g, 'require($1$2$1)')
    .replace(/([A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[[^\]]*\])*)\.constructor\b/g, '__typeName($1)');
}

export function compileTemplates(source, units) {
  const group = TmplGroup.newDev();
  const done = new Set();
  const once = (name) => !done.has(name) && done.add(name);

  const addScript = (name) => {
    if (!once(`wxs:${name}`)) return;
    const file = name.endsWith('.wxs') ? name : `${name}.wxs`;
    const text = source.read(file);
    if (text === null) {
      source.blame(file, 'is missing');
      return;
    }
    group.addScript(name, toJavaScript(text));
    for (const [, reference] of text.matchAll(/require\(\s*['"]([^'"]+)['"]\s*\)/g)) {
      const target = normalize(join(dirname(name), reference)).replace(/\.wxs$/, '');
      addScript(name.endsWith('.wxs') ? `${target}.wxs` : target);
    }
  };

  const addTemplate = (name) => {
    if (!once(name)) return;
    const file = `${name}.wxml`;
    const text = source.read(file);
    if (text === null) {
      source.blame(file, 'is missing');
      return;
    }
    for (const warning of group.addTmpl(name, withoutIndexKeys(text)) ?? []) {
      // The compiler mends a forgotten end tag and warns: people look for such a fault for hours.
      source.blame(file, warning.message, { line: warning.startLine + 1, column: warning.startColumn + 1 });
    }
    const unit = units.get(name);
    if (unit) checkTags(source, file, text, unit);
    for (const script of group.getInlineScriptModuleNames(name)) {
      group.setInlineScript(name, script, toJavaScript(group.getInlineScript(name, script)));
    }
    group.getDirectDependencies(name).forEach(addTemplate);
    group.getScriptDependencies(name).forEach(addScript);
  };

  group.setExtraRuntimeScript(WXS_RUNTIME);
  for (const name of units.keys()) addTemplate(name);
  const expression = group.getTmplGenObjectGroups();
  group.free();
  return expression;
}

/**
 * `wx:key="index"` is what people write for lists that only grow. It names a property no item has; WeChat then goes
 * by position, as it does without a key, while this build of the framework would complain about keys that are alike.
 */
function withoutIndexKeys(wxml) {
  return wxml.replace(/\swx:key="index"/g, (match) => ' '.repeat(match.length));
}

function checkTags(source, file, text, unit) {
  const blank = (match) => match.replace(/[^\n]/g, ' ');
  const bare = text.replace(/<!--[\s\S]*?-->/g, blank).replace(/<wxs[\s\S]*?<\/wxs>/g, blank);
  for (const { 1: tag, index } of bare.matchAll(/<([A-Za-z][\w-]*)/g)) {
    if (TAGS.includes(tag) || TEMPLATE_TAGS.includes(tag) || unit.using[tag] || unit.generics[tag]) continue;
    const line = bare.slice(0, index).split('\n').length;
    source.blame(file, `<${tag}> is neither in usingComponents nor a built-in tag the runner knows`, { line });
  }
}
