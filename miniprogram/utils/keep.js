/** What is kept on the phone only makes it quicker or nicer: where its storage is full, everything goes on without. */

/**
 * @param {string} key
 * @param {any} value
 * @returns {boolean} false where there was no room
 */
function keep(key, value) {
  try {
    wx.setStorageSync(key, value);
    return true;
  } catch (_) {
    return false;
  }
}

module.exports = { keep };
