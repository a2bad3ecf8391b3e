/** The mini-program. What it shows is in pages/, what it says to the server in services/. */

const NORMAL_FONT = 17; // px, WeChat's own size for texts

App({
  globalData: {
    zoom: 1, // how much larger the user wants texts
  },

  onLaunch() {
    this.globalData.zoom = zoom();
    offerUpdate();
  },
});

/** The font size chosen in WeChat's settings, as a factor. */
function zoom() {
  const info = wx.getAppBaseInfo ? wx.getAppBaseInfo() : {};
  const size = Number(info.fontSizeSetting) || NORMAL_FONT;
  return Math.min(1.6, Math.max(1, size / NORMAL_FONT));
}

/** A new version is put in place when the user agrees; what they wrote is kept on the phone. */
function offerUpdate() {
  if (!wx.getUpdateManager) return;
  const manager = wx.getUpdateManager();
  manager.onUpdateReady(() => {
    wx.showModal({
      title: '有新版本',
      content: '新版本已经准备好，现在重启小程序吗？',
      success: ({ confirm }) => confirm && manager.applyUpdate(),
    });
  });
}
