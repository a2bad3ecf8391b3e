/** Complaints. One about an answer goes to the staff with that answer; anything else by WeChat's own form. */

const history = require('../../stores/history');
const preferences = require('../../stores/preferences');
const turns = require('../../services/turns');
const { ApiError } = require('../../services/errors');
const { BAD_NETWORK } = require('../../utils/wording');

const KINDS = ['违法有害', '侵犯权益', '色情低俗', '泄露隐私', '虚假误导', '其他'];
const SHOWN = 5; // answers to choose from
const MARKS = /[#*`~|>]+ ?/g; // of Markdown

Page({
  data: {
    zoom: 1,
    kinds: KINDS,
    kind: '',
    words: '',
    answers: /** @type {{turnId: string, question: string, reply: string}[]} */ ([]),
    turnId: '',
    contact: '',
    sending: false,
  },

  onLoad() {
    const me = preferences.profile();
    const answers = history
      .conversations()
      .reduce((all, one) => all.concat(one.turns), /** @type {import('../../stores/turn').Turn[]} */ ([]))
      .filter((turn) => turn.turnId && turn.reply)
      .sort((one, other) => other.at - one.at)
      .slice(0, SHOWN)
      .map(({ turnId, question, reply }) => ({ turnId, question: question.slice(0, 60), reply: reply.replace(MARKS, '').slice(0, 60) }));
    this.setData({
      zoom: getApp().globalData.zoom,
      contact: (me && me.privacy_contact) || '',
      answers,
      turnId: answers.length ? answers[0].turnId : '',
    });
  },

  chooseKind(event) {
    this.setData({ kind: event.currentTarget.dataset.kind });
  },

  chooseAnswer(event) {
    this.setData({ turnId: event.currentTarget.dataset.id });
  },

  write(event) {
    this.setData({ words: event.detail.value });
  },

  copyContact() {
    wx.setClipboardData({ data: this.data.contact });
  },

  async submit() {
    const { kind, words, turnId, sending } = this.data;
    const reason = [kind, words.trim()].filter(Boolean).join('：');
    if (sending || !reason || !turnId) return;
    this.setData({ sending: true });
    try {
      const { receipt } = await turns.report(turnId, reason);
      await wx.showModal({ title: '投诉已收到', content: `受理编号 ${receipt}。工作人员会尽快核实处理。`, showCancel: false });
      wx.navigateBack({ fail: () => wx.reLaunch({ url: '/pages/chat/chat' }) });
    } catch (error) {
      wx.showToast({ title: error instanceof ApiError ? error.detail : BAD_NETWORK, icon: 'none' });
    }
    this.setData({ sending: false });
  },
});
