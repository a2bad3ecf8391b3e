/** Small things remembered on the phone: the draft, the thinking switch, what the server offered last. */

const DRAFT = 'aiChatDraft';
const THINKING = 'aiChatThinking';
const PROFILE = 'aiChatProfile';
const LEFT = 'aiChatLoggedOut';

const draft = () => String(wx.getStorageSync(DRAFT) || '');
const setDraft = (text) => (text ? wx.setStorageSync(DRAFT, text) : wx.removeStorageSync(DRAFT));

const thinking = () => wx.getStorageSync(THINKING) === true;
const setThinking = (on) => wx.setStorageSync(THINKING, on);

/** @returns {import('../services/account').Me | null} */
const profile = () => wx.getStorageSync(PROFILE) || null;
const setProfile = (me) => wx.setStorageSync(PROFILE, me);

/** Whoever logged out is not logged in again behind their back. */
const loggedOut = () => wx.getStorageSync(LEFT) === true;
const setLoggedOut = (left) => (left ? wx.setStorageSync(LEFT, true) : wx.removeStorageSync(LEFT));

function clear() {
  [DRAFT, THINKING, PROFILE].forEach((key) => wx.removeStorageSync(key));
}

module.exports = { clear, draft, loggedOut, profile, setDraft, setLoggedOut, setProfile, setThinking, thinking };
