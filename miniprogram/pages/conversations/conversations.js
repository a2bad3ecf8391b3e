/** All conversations: find, open, rename, delete; and the way to the settings. */

const conversations = require('../../services/conversations');
const history = require('../../stores/history');
const { ApiError } = require('../../services/errors');
const { parseTime, spoken } = require('../../utils/time');
const { BAD_NETWORK } = require('../../utils/wording');

/** @typedef {{id: string, title: string, at: number, time: string, chosen: boolean}} Item */

Page({
  data: {
    zoom: 1,
    query: '',
    items: /** @type {Item[]} */ ([]),
    found: /** @type {Item[]} */ ([]),
    more: false,
    loading: true,
    failed: false,
  },

  next: /** @type {string | null} */ (null),

  onLoad() {
    this.setData({ zoom: getApp().globalData.zoom });
    this.fill(history.conversations().filter((one) => one.turns.length));
    this.load('');
  },

  onPullDownRefresh() {
    this.load('').then(() => wx.stopPullDownRefresh());
  },

  onReachBottom() {
    if (this.next && !this.data.loading) this.load(this.next);
  },

  /** Load a page of the server's list; those only the phone knows stay. */
  async load(before) {
    this.setData({ loading: true, failed: false });
    try {
      const page = await conversations.list(before);
      const theirs = page.conversations.map((one) => ({
        id: one.conversation_id, title: one.title, at: parseTime(one.updated_at), turns: one.turns,
      }));
      const known = before ? this.data.items : history.conversations().filter((one) => history.isLocal(one) && one.turns.length);
      const ids = theirs.map((one) => one.id);
      theirs.forEach((one) => Object.assign(history.find(one.id) || {}, { title: one.title }));
      this.next = page.next;
      this.fill([...known.filter((one) => ids.indexOf(one.id) < 0), ...theirs]);
      this.setData({ loading: false });
      if (this.data.query && this.next) await this.load(this.next); // a search looks at all of them
    } catch (error) {
      this.setData({ loading: false, failed: true });
    }
  },

  /** @param {{id: string, title: string, at: number}[]} list */
  fill(list) {
    const current = history.current();
    const items = list
      .map((one) => ({ id: one.id, title: one.title || '新对话', at: one.at, time: spoken(one.at), chosen: one.id === current }))
      .sort((one, other) => other.at - one.at);
    this.setData({ items, more: !!this.next });
    this.search();
  },

  onQuery(event) {
    this.setData({ query: event.detail.value.trim() });
    this.search();
    if (this.data.query && this.next && !this.data.loading) this.load(this.next);
  },

  clearQuery() {
    this.setData({ query: '' });
    this.search();
  },

  /** By title, and by what the phone has of the texts. */
  search() {
    const query = this.data.query.toLowerCase();
    const has = (text) => text.toLowerCase().indexOf(query) >= 0;
    const inTexts = (id) => {
      const kept = history.find(id);
      return !!kept && kept.turns.some((turn) => has(turn.question) || has(turn.reply));
    };
    this.setData({ found: this.data.items.filter((item) => !query || has(item.title) || inTexts(item.id)) });
  },

  open(event) {
    history.setCurrent(event.currentTarget.dataset.id);
    // Opened by itself, this page has none to go back to.
    wx.navigateBack({ fail: () => wx.reLaunch({ url: '/pages/chat/chat' }) });
  },

  async manage(event) {
    const item = this.data.items.find((one) => one.id === event.currentTarget.dataset.id);
    if (!item) return;
    wx.showActionSheet({
      itemList: ['重命名', '删除'],
      success: ({ tapIndex }) => (tapIndex === 0 ? this.rename(item) : this.remove(item)),
      fail: () => {},
    });
  },

  /** @param {Item} item */
  async rename(item) {
    const answer = await wx.showModal({ title: '重命名', editable: true, placeholderText: '新的标题', content: item.title });
    const title = (answer.content || '').trim().slice(0, 100);
    if (!answer.confirm || !title || title === item.title) return;
    const kept = history.find(item.id);
    await this.change(async () => {
      if (!history.isLocal(item)) await conversations.rename(item.id, title);
      if (kept) Object.assign(kept, { title });
      history.save();
      this.fill(this.data.items.map((one) => (one.id === item.id ? Object.assign(one, { title }) : one)));
    });
  },

  /** @param {Item} item */
  async remove(item) {
    const { confirm } = await wx.showModal({ title: '删除对话', content: `“${item.title}”删除后无法恢复。`, confirmText: '删除', confirmColor: '#b3261e' });
    if (!confirm) return;
    await this.change(async () => {
      if (!history.isLocal(item)) await conversations.remove(item.id);
      history.remove(item.id);
      this.fill(this.data.items.filter((one) => one.id !== item.id));
    });
  },

  async clear() {
    const { confirm } = await wx.showModal({ title: '清空全部对话', content: '所有对话都会删除，无法恢复。', confirmText: '清空', confirmColor: '#b3261e' });
    if (!confirm) return;
    await this.change(async () => {
      await conversations.removeAll();
      history.clear();
      this.next = null;
      this.fill([]);
      wx.showToast({ title: '已清空', icon: 'none' });
    });
  },

  /** @param {() => Promise<void>} work */
  async change(work) {
    try {
      await work();
    } catch (error) {
      wx.showToast({ title: error instanceof ApiError ? error.detail : BAD_NETWORK, icon: 'none' });
    }
  },

  retry() {
    this.load('');
  },

  openAbout() {
    wx.navigateTo({ url: '/pages/about/about' });
  },

  openFeedback() {
    wx.navigateTo({ url: '/pages/feedback/feedback' });
  },
});
