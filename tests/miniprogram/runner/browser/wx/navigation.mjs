// From page to page, and what is around a page.

export function addNavigation({ phone, pages, wx, define, defineEvent }) {
  for (const how of ['navigateTo', 'redirectTo', 'reLaunch', 'switchTab']) {
    define(how, ({ url }) => pages.navigate(url, how));
  }
  define('navigateBack', ({ delta }) => pages.back(delta));
  define('setNavigationBarTitle', ({ title }) => pages.setTitle(title));
  define('setNavigationBarColor', (colours) => pages.setColours(colours));
  define('showNavigationBarLoading', () => {});
  define('hideNavigationBarLoading', () => {});
  define('setBackgroundColor', ({ backgroundColor }) => { document.body.style.background = backgroundColor ?? ''; });
  define('setBackgroundTextStyle', () => {});
  define('pageScrollTo', ({ scrollTop, selector }) => {
    const target = selector && pages.top().element.querySelector(selector);
    window.scrollTo(0, target ? target.getBoundingClientRect().top + scrollY : scrollTop);
  });
  define('startPullDownRefresh', () => { phone.pullDown(); });
  define('stopPullDownRefresh', () => {});
  define('showShareMenu', () => {});
  define('hideShareMenu', () => { pages.top().shareable = false; });
  define('updateShareMenu', () => {});
  for (const name of ['AppShow', 'AppHide', 'Error', 'UnhandledRejection', 'PageNotFound']) defineEvent(name);
  wx.nextTick = (callback) => { Promise.resolve().then(() => phone.guard('nextTick', callback)); };
  wx.createSelectorQuery = () => withNode(pages.top().page.createSelectorQuery());
  wx.createIntersectionObserver = (component, options) => component.createIntersectionObserver(options);
}

/** The adapter knows no `node()`; what it calls context is the same thing. */
function withNode(query) {
  const { select } = query;
  query.select = (...args) => {
    const nodes = select.apply(query, args);
    nodes.node = (callback = () => {}) =>
      nodes.fields({ context: true }, (result) => {
        if (result) result.node = result.context;
        callback(result);
      });
    return nodes;
  };
  return query;
}
