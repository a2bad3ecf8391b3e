// Pages: how they are defined, opened, hidden and left, and what happens to the app as a whole.
import { MiniProgramEnv } from 'glass-easel-miniprogram-adapter';
import { rpx } from './rpx.mjs';

const MOST_PAGES = 10; // the framework's own limit
const LARGEST_UPDATE = 1024 * 1024;
const NEAR_BOTTOM = 50;

export function createPages({ phone, program, backend }) {
  const environment = new MiniProgramEnv();
  const associated = environment.associateBackend(backend);
  const space = environment.createCodeSpace('', true);
  let registering = null; // what Page() and Component() do at the moment

  const register = {
    Page: (definition) => registering.Page(definition),
    Component: (definition) => registering.Component(definition),
  };
  const behavior = (definition) =>
    (definition === undefined ? space.behavior() : space.behavior().definition(definition).register());

  /** Run the file of each page and component, which registers it. */
  function defineAll(load) {
    associated.registerStyleSheetContent('app', rpx(program.styles.app.plain));
    space.addStyleSheet('app', 'app');
    for (const name of Object.keys(program.units)) define(name, load);
  }

  function define(name, load) {
    let registered = false;
    space.componentEnv(name, ({ Page, Component }) => {
      const outer = registering;
      registering = {
        Page(definition) {
          registered = true;
          prepare(name, undefined);
          const { onLoad } = definition;
          Page({
            ...definition,
            onLoad(...args) {
              watchUpdates(this, name);
              return onLoad?.apply(this, args);
            },
          });
        },
        Component(definition) {
          registered = true;
          prepare(name, definition.options);
          const { created: older, lifetimes, ...rest } = definition;
          const created = lifetimes?.created ?? older;
          Component({
            ...rest,
            lifetimes: {
              ...lifetimes,
              created(...args) {
                watchUpdates(this, name);
                return created?.apply(this, args);
              },
            },
          });
        },
      };
      try {
        phone.guard(`${name}.js`, () => load(`${name}.js`));
      } finally {
        registering = outer;
      }
    });
    if (!registered) phone.errors.push(`${name}.js registered neither a Page nor a Component`);
  }

  /** Hand template, styles and configuration to the framework, once it is known how styles are isolated. */
  function prepare(name, options) {
    const { isPage, scope, config: given } = program.units[name];
    const config = { ...given };
    const isolation =
      options?.styleIsolation ?? (options?.addGlobalClass ? 'apply-shared' : undefined) ?? config.styleIsolation;
    if (!isPage) config.component = true;
    if (isolation) config.styleIsolation = isolation;
    else if (isPage) {
      delete config.component;
      config.styleIsolation = 'shared';
    }
    const scoped = config.component && !/^(page-)?shared$/.test(config.styleIsolation ?? '');
    const { plain, scoped: own } = program.styles[name];
    associated.registerStyleSheetContent(name, rpx((scoped && own) || plain));
    space.addStyleSheet(name, name, scoped ? scope : undefined);
    space.addComponentStaticConfig(name, config);
    space.addCompiledTemplate(name, { groupList: program.templates, content: program.templates[name] });
  }

  /** On a phone every setData crosses from one thread to another as text: count it, and pass on what would arrive. */
  function watchUpdates(instance, name) {
    const setData = instance.setData;
    instance.setData = function count(data, done) {
      const text = JSON.stringify(data);
      const bytes = new Blob([text]).size;
      phone.updates.push({ at: performance.now(), bytes, from: name, keys: Object.keys(data) });
      for (const [key, value] of Object.entries(data)) {
        if (value === undefined) phone.warnings.push(`setData of ${name}: ${key} is undefined`);
      }
      if (bytes > LARGEST_UPDATE) phone.errors.push(`setData of ${name}: ${bytes} bytes are more than 1 MB`);
      return setData.call(this, JSON.parse(text), done);
    };
  }

  // The stack

  const top = () => phone.stack[phone.stack.length - 1];

  const call = (entry, name, ...args) => {
    if (typeof entry.page[name] === 'function') return phone.guard(name, () => entry.page[name](...args));
    return undefined;
  };

  function show(entry) {
    entry.element.style.display = '';
    entry.sheets.forEach((sheet) => { sheet.disabled = false; });
    window.scrollTo(0, entry.scrolled);
    dress(entry);
    call(entry, 'onShow');
    entry.root.getComponent().triggerPageLifetime('show', []);
  }

  function hide(entry) {
    call(entry, 'onHide');
    entry.root.getComponent().triggerPageLifetime('hide', []);
    entry.scrolled = window.scrollY;
    entry.element.style.display = 'none';
    entry.sheets.forEach((sheet) => { sheet.disabled = true; });
  }

  function leave() {
    const entry = phone.stack.pop();
    call(entry, 'onUnload');
    entry.root.release();
    entry.element.remove();
    entry.sheets.forEach((sheet) => sheet.remove());
  }

  function open(route, query) {
    const sheets = new Set(document.head.querySelectorAll('style'));
    const root = associated.createRoot('page', space, `/${route}`);
    const placeholder = document.createElement('span');
    document.body.append(placeholder);
    const page = root.get();
    page.route = route;
    page.options = query;
    const entry = { root, page, route, element: null, scrolled: 0, shareable: true };
    entry.sheets = [...document.head.querySelectorAll('style')].filter((sheet) => !sheets.has(sheet));
    phone.stack.push(entry);
    root.attach(document.body, placeholder);
    entry.element = root.getComponent().$$;
    window.scrollTo(0, 0);
    dress(entry);
    call(entry, 'onLoad', query);
    call(entry, 'onShow');
    root.getComponent().triggerPageLifetime('show', []);
    requestAnimationFrame(() => call(entry, 'onReady'));
  }

  /** What is around the page: title and colours. */
  function dress(entry) {
    const window = { ...program.app.window, ...program.units[entry.route].config };
    entry.bar ??= {
      title: window.navigationBarTitleText ?? '',
      background: window.navigationBarBackgroundColor ?? '#ffffff',
      text: window.navigationBarTextStyle ?? 'black',
      custom: window.navigationStyle === 'custom',
    };
    const theme = program.theme[darkNow() ? 'dark' : 'light'] ?? {};
    const themed = (value) => (value?.startsWith('@') ? theme[value.slice(1)] : value);
    document.body.style.background = themed(window.backgroundColor) ?? '#fff';
    document.title = entry.bar.title;
    phone.bar = Object.fromEntries(
      Object.entries(entry.bar).map(([name, value]) => [name, typeof value === 'string' ? themed(value) : value]),
    );
    capsule.hidden = !phone.bar.custom;
    capsule.dataset.dark = darkNow();
    document.body.append(capsule);
    phone.emit('bar', { ...phone.bar, depth: phone.stack.length });
  }

  // Over a page with a bar of its own WeChat leaves its two buttons, where the page must not have anything.
  const capsule = document.createElement('div');
  capsule.className = 'wx-capsule';
  capsule.setAttribute('aria-hidden', 'true');

  const darkNow = () => Boolean(program.app.darkmode) && matchMedia('(prefers-color-scheme: dark)').matches;

  function navigate(url, how) {
    const [path, query] = parse(url);
    const route = path.startsWith('/') ? path.slice(1) : relative(top()?.route ?? '', path);
    if (!program.pages.includes(route)) throw new Error(`page "${route}" is not found`);
    const isTab = program.app.tabBar?.list.some((tab) => tab.pagePath === route) ?? false;
    if (how === 'switchTab' && !isTab) throw new Error('can not switch to no-tabBar page');
    if (isTab && (how === 'navigateTo' || how === 'redirectTo')) throw new Error(`can not ${how} a tabbar page`);
    if (how === 'navigateTo') {
      if (phone.stack.length >= MOST_PAGES) throw new Error('webview count limit exceed');
      if (top()) hide(top());
    } else if (how === 'redirectTo') {
      leave();
    } else {
      while (top()) leave();
    }
    open(route, query);
  }

  function back(delta = 1) {
    if (phone.stack.length < 2) throw new Error('cannot navigate back at first page');
    for (let steps = delta; steps > 0 && phone.stack.length > 1; steps -= 1) leave();
    show(top());
  }

  // The app as a whole

  function launch(url) {
    const [path, query] = parse(url ?? `/${program.pages[0]}`);
    phone.launched = { path: path.replace(/^\//, ''), query, scene: 1001, referrerInfo: {} };
    appCall('onLaunch', phone.launched);
    appCall('onShow', phone.launched);
    navigate(url?.startsWith('/') ? url : `/${url ?? program.pages[0]}`, 'navigateTo');
  }

  function appCall(name, ...args) {
    if (typeof phone.app?.[name] === 'function') phone.guard(`App.${name}`, () => phone.app[name](...args));
  }

  /** The user goes to another app. After a while the framework ends requests and suspends the pages. */
  function toBackground() {
    phone.background = true;
    call(top(), 'onHide');
    top().root.getComponent().triggerPageLifetime('hide', []);
    appCall('onHide', {});
    phone.emit('AppHide', {});
    phone.suspending = setTimeout(() => {
      phone.emit('interrupt');
      phone.suspended = true;
    }, phone.faults.backgroundMs);
  }

  function toForeground() {
    clearTimeout(phone.suspending);
    phone.background = false;
    phone.suspended = false;
    phone.emit('resume');
    appCall('onShow', phone.launched);
    phone.emit('AppShow', phone.launched);
    call(top(), 'onShow');
    top().root.getComponent().triggerPageLifetime('show', []);
  }

  /** What the user may do to the page from outside of it. */
  function watchUser() {
    let nearBottom = false;
    addEventListener('scroll', () => {
      const { scrollY, innerHeight } = window;
      const { scrollHeight } = document.documentElement;
      if (top()) call(top(), 'onPageScroll', { scrollTop: scrollY });
      const near = scrollY + innerHeight >= scrollHeight - NEAR_BOTTOM;
      if (near && !nearBottom && top()) call(top(), 'onReachBottom');
      nearBottom = near;
    }, { passive: true });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', ({ matches }) => {
      if (!program.app.darkmode) return;
      const theme = matches ? 'dark' : 'light';
      appCall('onThemeChange', { theme });
      phone.emit('ThemeChange', { theme });
      if (top()) dress(top());
    });
    addEventListener('resize', () => {
      const size = { windowWidth: innerWidth, windowHeight: innerHeight };
      if (top()) call(top(), 'onResize', { size });
    });
  }

  Object.assign(phone, {
    toBackground,
    toForeground,
    back,
    darkNow,
    pullDown: () => call(top(), 'onPullDownRefresh'),
    share: (from = 'menu', target) => call(top(), 'onShareAppMessage', { from, target }),
  });

  const setTitle = (title) => {
    top().bar.title = title;
    dress(top());
  };
  const setColours = ({ frontColor, backgroundColor }) => {
    Object.assign(top().bar, { text: frontColor === '#ffffff' ? 'white' : 'black', background: backgroundColor });
    dress(top());
  };

  return { space, register, behavior, defineAll, launch, navigate, back, top, appCall, setTitle, setColours, watchUser };
}

function parse(url) {
  const [path, search = ''] = url.split('?');
  const pairs = search.split('&').filter(Boolean).map((pair) => pair.split('='));
  // Values stay as they were written: decoding them is the page's business.
  return [path, Object.fromEntries(pairs.map(([name, value = '']) => [decodeURIComponent(name), value]))];
}

function relative(from, path) {
  const parts = from.split('/').slice(0, -1);
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}
