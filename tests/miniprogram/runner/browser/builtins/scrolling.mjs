// <scroll-view> and <swiper>.

export function addScrolling({ define, emit, phone }) {
  define('scroll-view', {
    properties: {
      scrollX: Boolean, scrollY: Boolean, scrollTop: null, scrollLeft: null, scrollIntoView: String,
      scrollWithAnimation: Boolean, scrollIntoViewOffset: Number, scrollIntoViewAlignment: String,
      scrollAnchoring: Boolean, enhanced: Boolean, bounces: { type: Boolean, value: true },
      showScrollbar: { type: Boolean, value: true }, fastDeceleration: Boolean, pagingEnabled: Boolean,
      enableFlex: Boolean, enableBackToTop: Boolean, enablePassive: Boolean,
      upperThreshold: { type: Number, value: 50 }, lowerThreshold: { type: Number, value: 50 },
      refresherEnabled: Boolean, refresherTriggered: Boolean, refresherThreshold: Number,
      refresherBackground: String, refresherDefaultStyle: String, usingSticky: Boolean, type: String,
      reverse: Boolean, cacheExtent: Number,
    },
    created(element) {
      watchScrolling(this, element, emit);
      watchDragging(this, element, emit);
      element.context = contextOf(this, element);
    },
    observe: {
      scrollY(value) { this.$$.style.overflowY = value ? 'auto' : 'hidden'; },
      scrollX(value) { this.$$.style.overflowX = value ? 'auto' : 'hidden'; },
      enableFlex(value) { this.$$.classList.toggle('wx-flex', Boolean(value)); },
      showScrollbar(value) { this.$$.classList.toggle('wx-no-scrollbar', !value); },
      scrollAnchoring(value) { this.$$.style.overflowAnchor = value ? 'auto' : 'none'; },
      scrollTop(value) { if (isNumber(value)) this.$$.scrollTop = parseFloat(value); },
      scrollLeft(value) { if (isNumber(value)) this.$$.scrollLeft = parseFloat(value); },
      scrollIntoView(id) {
        if (!id) return;
        // What it points at may come with the same setData.
        const list = this.$$;
        requestAnimationFrame(() => {
          if (!list.isConnected) return;
          const target = list.querySelector(`[id$="--${CSS.escape(id)}"]`);
          if (!target) {
            phone.warnings.push(`scroll-into-view: nothing has the id ${id}`);
            return;
          }
          const distance = target.getBoundingClientRect().top - list.getBoundingClientRect().top;
          list.scrollTop += distance + (this.data.scrollIntoViewOffset || 0);
        });
      },
    },
  });

  define('swiper', {
    properties: {
      current: Number, indicatorDots: Boolean, autoplay: Boolean, circular: Boolean, vertical: Boolean,
      duration: Number, interval: Number,
    },
    created(element) {
      element.addEventListener('scrollend', () => {
        const current = Math.round(element.scrollLeft / element.clientWidth);
        if (current === this.shown) return;
        this.shown = current;
        emit(this, 'change', { current, source: 'touch' });
      });
    },
    observe: { current(value) { this.$$.scrollLeft = value * this.$$.clientWidth; } },
  });
  define('swiper-item', { properties: { itemId: String } });
}

const isNumber = (value) => value !== '' && value !== null && value !== undefined && !Number.isNaN(parseFloat(value));

function watchScrolling(component, element, emit) {
  const last = { top: 0, left: 0 };
  const near = { upper: true, lower: false };
  element.addEventListener('scroll', () => {
    const { scrollTop, scrollLeft, scrollHeight, scrollWidth, clientHeight } = element;
    const { upperThreshold, lowerThreshold } = component.data;
    const deltas = { deltaX: last.left - scrollLeft, deltaY: last.top - scrollTop };
    Object.assign(last, { top: scrollTop, left: scrollLeft });
    emit(component, 'scroll', { scrollTop, scrollLeft, scrollHeight, scrollWidth, ...deltas });
    const lower = scrollTop + clientHeight >= scrollHeight - lowerThreshold;
    const upper = scrollTop <= upperThreshold;
    if (lower && !near.lower) emit(component, 'scrolltolower', { direction: 'bottom' });
    if (upper && !near.upper) emit(component, 'scrolltoupper', { direction: 'top' });
    Object.assign(near, { upper, lower });
  }, { passive: true });
}

/** With `enhanced`, the page also hears when a finger drags. */
function watchDragging(component, element, emit) {
  let dragging = false;
  const tell = (name) => {
    const { scrollTop, scrollLeft } = element;
    if (component.data.enhanced) emit(component, name, { scrollTop, scrollLeft, velocity: { x: 0, y: 0 } });
  };
  const options = { passive: true };
  element.addEventListener('touchmove', () => {
    tell(dragging ? 'dragging' : 'dragstart');
    dragging = true;
  }, options);
  element.addEventListener('touchend', () => {
    if (dragging) tell('dragend');
    dragging = false;
  }, options);
}

/** What `createSelectorQuery().select(…).node()` gives for an enhanced scroll-view. */
function contextOf(component, element) {
  const context = {
    scrollTo: ({ top, left, animated }) => element.scrollTo({ top, left, behavior: animated ? 'smooth' : 'instant' }),
    scrollIntoView: (selector) => element.querySelector(selector)?.scrollIntoView(),
    triggerRefresh() {},
    closeRefresh() {},
  };
  for (const name of ['scrollEnabled', 'bounces', 'showScrollbar', 'pagingEnabled', 'fastDeceleration']) {
    context[name] = component.data?.[name] ?? true;
  }
  return context;
}
