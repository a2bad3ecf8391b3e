/** The turns on the screen: which of them, brought up to date with as little setData as can be, and where the list stands. */

const { diff } = require('../../utils/diff');
const { Throttle } = require('../../utils/throttle');
const { Scroll } = require('./scroll');
const { Views } = require('./view');

const GAP = 100; // ms between updates while an answer comes
const FIRST = 10; // turns shown at first: more than a screen
const SETTLING = 500; // ms in which a list that is at its top is only on its way to its end
const MORE = 20; // turns added when scrolling up

class Screen {
  /**
   * @param {{data: any, setData: (patch: any, done?: () => void) => void}} page
   * @param {InstanceType<typeof import('../../stores/thread').Thread>} thread
   */
  constructor(page, thread) {
    this.page = page;
    this.thread = thread;
    this.views = new Views();
    this.scroll = new Scroll();
    this.drawing = new Throttle(() => this.draw(), GAP);
    /** @type {import('./view').TurnView[]} */
    this.shown = [];
    /** The first turn on the screen; those above it wait until somebody scrolls up. */
    this.firstKey = '';
    this.since = 0; // when this conversation came on the screen
  }

  /** Another conversation: show its end. */
  reset() {
    this.firstKey = '';
    this.since = Date.now();
    this.show({ anchor: this.scroll.end(), away: false });
  }

  /** One setData with what changed and nothing else. */
  draw() {
    const { shown, thread } = this;
    const turns = this.views.of(this.window());
    const other = !shown.length || !turns.length || shown[0].key !== turns[0].key;
    const patch = other ? { turns } : diff(shown, turns, 'turns');
    this.shown = turns;
    const news = Object.keys(patch).length > 0;
    const earlier = thread.turns.length > turns.length || !!thread.earlier;
    this.show({ stage: thread.stage, opening: thread.loading, earlier }, patch, news ? this.scroll.target() : '');
  }

  /** @param {Record<string, any>} facts set where they differ @param {Record<string, any>} [patch] @param {string} [anchor] */
  show(facts, patch = {}, anchor = '') {
    Object.keys(facts).forEach((name) => diff(this.page.data[name], facts[name], name, patch));
    if (anchor) patch.anchor = anchor;
    if (Object.keys(patch).length) this.page.setData(patch);
  }

  /** The turns on the screen: from the first one shown to the last. */
  window() {
    const { turns } = this.thread;
    let first = turns.findIndex((turn) => turn.key === this.firstKey);
    if (first < 0) first = Math.max(0, turns.length - FIRST);
    this.firstKey = turns.length ? turns[first].key : '';
    return turns.slice(first);
  }

  /** Show the turns above, from the phone or from the server. Rejects like any service. */
  async showEarlier() {
    const { page, thread } = this;
    if (page.data.loading || !page.data.earlier || Date.now() - this.since < SETTLING) return;
    const above = this.firstKey;
    const first = () => thread.turns.findIndex((turn) => turn.key === above);
    if (first() < MORE && thread.earlier) {
      page.setData({ loading: true });
      try {
        await thread.loadEarlier();
      } finally {
        page.setData({ loading: false });
      }
    }
    const start = Math.max(0, first() - MORE);
    if (first() <= start) return;
    this.firstKey = thread.turns[start].key;
    this.scroll.following = false;
    this.draw();
    page.setData({ anchor: `turn-${above}`, away: true }); // what was read stays where it was
  }

  resized(height) {
    this.scroll.height = height;
    this.show({}, {}, this.shown.length ? this.scroll.target() : '');
  }

  moved(detail) {
    if (this.scroll.moved(detail)) this.page.setData({ away: !this.scroll.following });
  }
}

module.exports = { Screen };
