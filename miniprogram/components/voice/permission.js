/** What has to be agreed before anything is recorded: the privacy guide, then the microphone. */

/** @returns {Promise<boolean>} whether recording is allowed now */
async function allowRecording() {
  try {
    await privacyAgreed();
  } catch (_) {
    wx.showToast({ title: '同意隐私保护指引后才能使用语音', icon: 'none' });
    return false;
  }
  try {
    await microphone();
    return true;
  } catch (_) {
    return askInSettings();
  }
}

function privacyAgreed() {
  if (!wx.requirePrivacyAuthorize) return Promise.resolve(); // before base library 2.32.3 nobody asked
  return new Promise((resolve, reject) => wx.requirePrivacyAuthorize({ success: resolve, fail: reject }));
}

function microphone() {
  return new Promise((resolve, reject) => wx.authorize({ scope: 'scope.record', success: resolve, fail: reject }));
}

/** Refused once, WeChat asks no more: only its settings page can change that. */
async function askInSettings() {
  const { confirm } = await wx.showModal({
    title: '需要麦克风权限',
    content: '语音输入要用到麦克风，录音只用来识别成文字。现在去设置里打开吗？',
    confirmText: '去设置',
  });
  if (!confirm) return false;
  const { authSetting } = await wx.openSetting();
  return !!authSetting['scope.record'];
}

module.exports = { allowRecording };
