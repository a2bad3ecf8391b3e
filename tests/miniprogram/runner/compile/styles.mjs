// WXSS → CSS: tags renamed, classes scoped to their component, imports put in place. rpx stays for the browser side.
import postcss from 'postcss';
import selectorParser from 'postcss-selector-parser';
import { TAGS } from '../sandbox.mjs';

const IMPORT = /@import\s+(?:url\()?\s*['"]([^'"]+)['"]\s*\)?\s*;/g;
const LOCAL_URL = /url\(\s*['"]?(?!data:|https?:)([^'")]+)/;

/** For each unit its CSS: `plain` as a page uses it, `scoped` as a component does. `scopes` names their scopes. */
export function compileStyles(source, app, units) {
  const styles = { app: { plain: compile(source, app, 'app.wxss') } };
  const scopes = {};
  for (const [name, { isPage, config }] of units) {
    const file = `${name}.wxss`;
    scopes[name] = `c${Object.keys(scopes).length}`;
    styles[name] = { plain: compile(source, app, file) };
    if (!isPage || config.component) styles[name].scoped = compile(source, app, file, scopes[name]);
  }
  return { styles, scopes };
}

function compile(source, app, file, scope) {
  const css = withImports(source, file, new Set());
  if (!css) return '';
  let tree;
  try {
    tree = postcss.parse(css, { from: file });
  } catch (fault) {
    source.blame(file, fault.reason ?? fault.message, { line: fault.line, column: fault.column });
    return '';
  }
  const rewrite = selectorParser((selectors) => rewriteSelectors(selectors, scope));
  tree.walkRules((rule) => {
    const inKeyframes = rule.parent.type === 'atrule' && /keyframes$/.test(rule.parent.name);
    if (!inKeyframes) rule.selector = rewrite.processSync(rule.selector);
  });
  tree.walkDecls((declaration) => {
    const local = LOCAL_URL.exec(declaration.value);
    const { line } = declaration.source.start;
    if (local) source.blame(file, `url(${local[1]}): a phone loads no local files from WXSS`, { line });
  });
  tree.walkAtRules('media', (rule) => {
    if (/prefers-color-scheme/.test(rule.params) && !app.darkmode) {
      source.blame(file, 'prefers-color-scheme needs "darkmode": true in app.json', { line: rule.source.start.line });
    }
  });
  return tree.toString();
}

/** Tags are `wx-*` elements here, ids carry a prefix, `:host` and classes belong to their component. */
function rewriteSelectors(selectors, scope) {
  const attribute = (name, operator, value) =>
    selectorParser.attribute({ attribute: name, operator, value, quoteMark: '"', raws: {} });
  selectors.walkTags((tag) => {
    if (TAGS.includes(tag.value)) tag.value = `wx-${tag.value}`;
  });
  selectors.walkIds((id) => id.replaceWith(attribute('id', '$=', `--${id.value}`)));
  selectors.walkPseudos((pseudo) => {
    if (pseudo.value === ':host') pseudo.replaceWith(attribute('wx-host', '=', scope ?? ''));
  });
  if (!scope) return;
  selectors.walkClasses((name) => {
    name.value = `${scope}--${name.value}`;
  });
}

function withImports(source, file, seen) {
  if (seen.has(file)) return '';
  seen.add(file);
  return (source.read(file) ?? '').replace(IMPORT, (_, reference) => {
    const target = source.resolve(reference.replace(/\.wxss$/, ''), file, ['.wxss']);
    if (!target) source.blame(file, `@import: there is no ${reference}`);
    return target ? withImports(source, target, seen) : '';
  });
}
