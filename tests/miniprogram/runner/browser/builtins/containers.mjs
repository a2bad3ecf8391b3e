// Views and what only holds or decorates something else.

export function addContainers({ define, wx, phone }) {
  for (const tag of ['view', 'cover-view', 'root-portal', 'match-media', 'page-container']) define(tag);

  define('text', {
    properties: { userSelect: Boolean, selectable: Boolean, space: String, decode: Boolean },
    observe: {
      userSelect(value) { this.$$.classList.toggle('wx-selectable', Boolean(value)); },
      selectable(value) { this.$$.classList.toggle('wx-selectable', Boolean(value)); },
    },
  });

  const ways = {
    navigate: 'navigateTo', redirect: 'redirectTo', switchTab: 'switchTab', reLaunch: 'reLaunch',
    navigateBack: 'navigateBack',
  };
  define('navigator', {
    properties: {
      url: String, delta: Number, openType: { type: String, value: 'navigate' }, target: String, appId: String,
    },
    created(element) {
      element.addEventListener('click', () => {
        const { openType, url, delta } = this.data;
        wx[ways[openType]]?.({ url, delta: delta || 1, fail: (fault) => phone.blame('navigator', fault) });
      });
    },
  });

  // The font size set in WeChat reaches a page only if it asks for it.
  define('page-meta', {
    properties: { pageStyle: String, rootFontSize: String, pageFontSize: String, backgroundColor: String, scrollTop: String },
    observe: {
      rootFontSize(value) { document.documentElement.style.fontSize = fontSize(value); },
      pageFontSize(value) { document.body.style.fontSize = fontSize(value); },
      pageStyle(value) { document.body.style.cssText += `;${value}`; },
    },
  });
}

const fontSize = (value) => (value === 'system' ? 'var(--system-font-size)' : value ?? '');
