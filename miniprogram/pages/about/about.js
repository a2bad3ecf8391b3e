/** Settings and everything a user, or a reviewer of WeChat, may want to know about this mini-program. */

const account = require('../../services/account');
const history = require('../../stores/history');
const preferences = require('../../stores/preferences');
const { ApiError } = require('../../services/errors');
const { AI_LABEL, BAD_NETWORK } = require('../../utils/wording');

Page({
  data: {
    zoom: 1,
    brand: 'AI 助手',
    userId: '',
    quota: '',
    model: '',
    label: AI_LABEL,
    contact: '',
    filing: '',
    version: '',
    loggedOut: false,
    busy: false,
  },

  onLoad() {
    const { miniProgram } = wx.getAccountInfoSync();
    this.setData({ zoom: getApp().globalData.zoom, version: miniProgram.version || '开发版', loggedOut: preferences.loggedOut() });
    this.fill(preferences.profile());
    if (!this.data.loggedOut) account.me().then((me) => this.fill(me), () => {});
  },

  /** @param {import('../../services/account').Me | null} me */
  fill(me) {
    if (!me) return;
    this.setData({
      brand: me.brand_name || 'AI 助手',
      userId: me.user_id,
      quota: `${me.quota.used_today} 次${me.quota.per_day ? `，每天 ${me.quota.per_day} 次` : ''}`,
      model: (me.model && me.model.name) || '',
      label: me.ai_label || AI_LABEL,
      contact: me.privacy_contact || '',
      filing: me.filing_text || '',
    });
  },

  copyId() {
    wx.setClipboardData({ data: this.data.userId });
  },

  copyContact() {
    wx.setClipboardData({ data: this.data.contact });
  },

  openPrivacy() {
    wx.navigateTo({ url: '/pages/privacy/privacy' });
  },

  openFeedback() {
    wx.navigateTo({ url: '/pages/feedback/feedback' });
  },

  openPermissions() {
    wx.openSetting();
  },

  async logOut() {
    const { confirm } = await wx.showModal({ title: '退出登录', content: '手机里存的对话会清除，重新登录后还能从服务器看到。', confirmText: '退出' });
    if (!confirm) return;
    await this.work(async () => {
      await account.logOut();
      this.forget();
      preferences.setLoggedOut(true);
      wx.reLaunch({ url: '/pages/chat/chat' });
    });
  },

  logIn() {
    preferences.setLoggedOut(false);
    wx.reLaunch({ url: '/pages/chat/chat' });
  },

  async erase() {
    const { confirm } = await wx.showModal({
      title: '删除我的数据',
      content: '你的全部对话、评价和账号标识会从服务器和这台手机上删除，无法恢复。',
      confirmText: '删除',
      confirmColor: '#b3261e',
    });
    if (!confirm) return;
    await this.work(async () => {
      await account.erase();
      this.forget();
      preferences.setLoggedOut(true);
      await wx.showModal({ title: '已删除', content: '你的数据已经删除。', showCancel: false });
      wx.reLaunch({ url: '/pages/chat/chat' });
    });
  },

  /** What the phone keeps of this user. */
  forget() {
    history.clear();
    preferences.clear();
  },

  /** @param {() => Promise<void>} work */
  async work(work) {
    if (this.data.busy) return;
    this.setData({ busy: true });
    try {
      await work();
    } catch (error) {
      wx.showToast({ title: error instanceof ApiError ? error.detail : BAD_NETWORK, icon: 'none' });
    }
    this.setData({ busy: false });
  },
});
