/** Small things remembered on the phone: the draft, the thinking switch, what the server offered last. */

const { keep } = require('../utils/keep');

const DRAFT = 'aiChatDraft';
const THINKING = 'aiChatThinking';
const PROFILE = 'aiChatProfile';
const LEFT = 'aiChatLoggedOut';

const draft = () => String(wx.getStorageSync(DRAFT) || '');
const setDraft = (text) => (text ? keep(DRAFT, text) : wx.removeStorageSync(DRAFT));

const thinking = () => wx.getStorageSync(THINKING) === true;
const setThinking = (on) => keep(THINKING, on);

/** @returns {import('../services/account').Me | null} */
const profile = () => wx.getStorageSync(PROFILE) || null;
const setProfile = (me) => keep(PROFILE, me);

/** Whoever logged out is not logged in again behind their back. */
const loggedOut = () => wx.getStorageSync(LEFT) === true;
const setLoggedOut = (left) => (left ? keep(LEFT, true) : wx.removeStorageSync(LEFT));

function clear() {
  [DRAFT, THINKING, PROFILE].forEach((key) => wx.removeStorageSync(key));
}

module.exports = { clear, draft, loggedOut, profile, setDraft, setLoggedOut, setProfile, setThinking, thinking };
