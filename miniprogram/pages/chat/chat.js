/** The home: one conversation. Shows what stores/thread.js holds and hands on what the user does. */

const account = require('../../services/account');
const preferences = require('../../stores/preferences');
const history = require('../../stores/history');
const { Thread } = require('../../stores/thread');
const { ApiError } = require('../../services/errors');
const { BAD_NETWORK, labelled } = require('../../utils/wording');
const { Judging, excuse } = require('./judging');
const { offerOf } = require('./offer');
const { Screen } = require('./screen');

Page({
  data: {
    zoom: 1,
    ...offerOf(null),
    thinking: false,
    turns: /** @type {import('./view').TurnView[]} */ ([]),
    stage: 'idle',
    earlier: false,
    opening: '',
    loading: false,
    anchor: '',
    away: false,
    offline: false,
    loggedOut: false,
    said: '',
    keyboard: 0,
    asking: false,
    question: '',
    reasons: /** @type {string[]} */ ([]),
  },

  thread: /** @type {InstanceType<typeof Thread>} */ (/** @type {any} */ (null)),
  screen: /** @type {InstanceType<typeof Screen>} */ (/** @type {any} */ (null)),
  judging: /** @type {InstanceType<typeof Judging>} */ (/** @type {any} */ (null)),
  draftTimer: 0,
  onNetwork: /** @type {WechatMiniprogram.OnNetworkStatusChangeCallback} */ (() => {}),

  onLoad() {
    this.thread = new Thread((urgent) => (urgent ? this.screen.drawing.now() : this.screen.drawing.ask()));
    this.screen = new Screen(this, this.thread);
    this.judging = new Judging(this, this.thread);
    this.setData({ zoom: getApp().globalData.zoom, thinking: preferences.thinking(), loggedOut: preferences.loggedOut() });
    this.screen.show(offerOf(preferences.profile()));
    this.open(history.current());
    this.onNetwork = ({ isConnected }) => {
      this.setData({ offline: !isConnected });
      if (isConnected) this.thread.wakeUp();
    };
    wx.onNetworkStatusChange(this.onNetwork);
    wx.getNetworkType({ success: ({ networkType }) => this.setData({ offline: networkType === 'none' }) });
  },

  onReady() {
    const draft = preferences.draft();
    if (draft) this.composer().fill(draft);
    this.settleLayout();
  },

  onShow() {
    if (history.current() !== this.thread.conversation.id) this.open(history.current());
    this.thread.wakeUp();
    if (preferences.loggedOut() !== this.data.loggedOut) this.setData({ loggedOut: preferences.loggedOut() });
    if (!this.data.loggedOut) this.refreshProfile();
  },

  onHide() {
    this.thread.sleep();
  },

  onUnload() {
    this.thread.leave();
    this.screen.drawing.cancel();
    wx.offNetworkStatusChange(this.onNetwork);
  },

  onShareAppMessage() {
    // A picture of ours: WeChat would take one of the screen, with the conversation on it.
    return { title: `${this.data.title}：有问题，问一问`, path: '/pages/chat/chat', imageUrl: '/images/share.png' };
  },

  // What the server offers

  async refreshProfile() {
    const me = await account.me().catch(() => null);
    if (!me) return; // what was offered last time still stands
    preferences.setProfile(me);
    this.screen.show(offerOf(me));
  },

  // The list

  showEarlier() {
    this.screen.showEarlier().catch(excuse);
  },

  /** The list got another height: its end stays in sight if it was. */
  settleLayout() {
    this.createSelectorQuery().select('.stage').boundingClientRect((box) => {
      if (box) this.screen.resized(box.height);
    }).exec();
  },

  onScroll(event) {
    this.screen.moved(event.detail);
  },

  onTouch(event) {
    this.screen.scroll.touching = event.type === 'touchstart';
  },

  toEnd() {
    this.setData({ anchor: this.screen.scroll.end(), away: false });
  },

  onKeyboard(event) {
    this.setData({ keyboard: event.detail.height }, () => this.settleLayout());
  },

  // Conversations

  open(id) {
    this.screen.reset();
    this.thread.open(id).catch((error) => {
      if (error instanceof ApiError && error.status === 404) this.open('');
    });
  },

  reopen() {
    this.open(this.thread.conversation.id);
  },

  startNew() {
    if (this.thread.turns.length) this.open('');
  },

  openConversations() {
    wx.navigateTo({ url: '/pages/conversations/conversations' });
  },

  logIn() {
    preferences.setLoggedOut(false);
    this.setData({ loggedOut: false });
    this.refreshProfile();
  },

  // Asking

  onSend(event) {
    this.ask(event.detail.text);
  },

  askSuggestion(event) {
    if (this.data.stage === 'idle') this.ask(event.currentTarget.dataset.text);
  },

  ask(text) {
    this.unsay();
    if (this.data.loggedOut) this.logIn();
    this.screen.scroll.following = true;
    this.settle(this.thread.ask(text, this.data.canThink && this.data.thinking), text);
  },

  retry(event) {
    this.unsay();
    const { key } = event.detail;
    this.settle(this.thread.retry(key), this.questionOf(key));
  },

  regenerate(event) {
    this.unsay();
    this.screen.scroll.following = true;
    this.settle(this.thread.regenerate(event.detail.key), '');
  },

  /** Say what came of it, where something has to be said. A refused question goes back into the input. */
  async settle(outcome, text) {
    const { refused, kept, unreachable } = await outcome;
    if (unreachable) wx.showToast({ title: BAD_NETWORK, icon: 'none', duration: 2500 });
    if (!refused) return;
    this.setData({ said: refused }, () => this.settleLayout());
    if (text && !kept) this.composer().fill(text);
  },

  onStop() {
    this.thread.stop().catch(excuse);
  },

  onThink(event) {
    preferences.setThinking(event.detail.on);
    this.setData({ thinking: event.detail.on });
  },

  onDraft(event) {
    clearTimeout(this.draftTimer);
    const { text } = event.detail;
    // An emptied input is written down at once: what was sent must not come back as a draft.
    this.draftTimer = setTimeout(() => preferences.setDraft(text), text ? 300 : 0);
  },

  unsay() {
    if (this.data.said) this.setData({ said: '' }, () => this.settleLayout());
  },

  // What is done to turns

  copyAnswer(event) {
    const turn = this.thread.find(event.detail.key);
    if (turn) wx.setClipboardData({ data: labelled(turn.reply, this.data.label) });
  },

  copyQuestion(event) {
    wx.setClipboardData({ data: this.questionOf(event.detail.key) });
  },

  editQuestion(event) {
    this.composer().fill(this.questionOf(event.detail.key));
  },

  rate(event) {
    this.judging.rate(event.detail);
  },

  report(event) {
    this.judging.ask('report', event.detail.key);
  },

  closeReasons() {
    this.judging.close();
  },

  giveReason(event) {
    this.judging.give(event.detail.reason);
  },

  questionOf(key) {
    const turn = this.thread.find(key);
    return turn ? turn.question : '';
  },

  /** @returns {any} */
  composer() {
    return this.selectComponent('#composer');
  },
});
