/** The chat's own navigation bar: it has room for the conversations and a new one beside WeChat's capsule. */

const BAR = 44; // px

Component({
  properties: { title: { type: String, value: '' } },

  data: { top: 20, height: BAR, right: 100 },

  lifetimes: {
    attached() {
      const { statusBarHeight, windowWidth } = wx.getWindowInfo ? wx.getWindowInfo() : wx.getSystemInfoSync();
      const capsule = wx.getMenuButtonBoundingClientRect();
      // Centred on the capsule; where there is none (some PC clients), the bar is a plain one.
      const known = capsule && capsule.height > 0;
      const gap = known ? Math.max(0, capsule.top - statusBarHeight) : 0;
      this.setData({
        top: statusBarHeight || 0,
        height: known ? Math.max(BAR, capsule.height + 2 * gap) : BAR,
        right: known ? windowWidth - capsule.left + 4 : 12,
      });
    },
  },

  methods: {
    list() {
      this.triggerEvent('list');
    },

    fresh() {
      this.triggerEvent('fresh');
    },
  },
});
