/** What the service is and what becomes of what one writes. */

const preferences = require('../../stores/preferences');
const { AI_LABEL } = require('../../utils/wording');

Page({
  data: { zoom: 1, brand: 'AI 助手', label: AI_LABEL, contact: '' },

  onLoad() {
    const me = preferences.profile();
    this.setData({
      zoom: getApp().globalData.zoom,
      brand: (me && me.brand_name) || 'AI 助手',
      label: (me && me.ai_label) || AI_LABEL,
      contact: (me && me.privacy_contact) || '',
    });
  },

  /** The guide as it is entered at mp.weixin.qq.com. */
  openGuide() {
    if (!wx.openPrivacyContract) return;
    wx.openPrivacyContract({ fail: () => wx.showToast({ title: '请在微信里查看', icon: 'none' }) });
  },
});
