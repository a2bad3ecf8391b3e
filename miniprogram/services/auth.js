/** Who we are to the server: a session token, got silently by wx.login and renewed when it ends. */

const { exchange, inCloud } = require('./transport');
const { NetworkError } = require('./errors');
const { keep } = require('../utils/keep');

const KEY = 'aiSession';

/** @type {{token: string, until: number} | null} */
let session = null;
/** @type {Promise<string> | null} */
let running = null;

/** @returns {Promise<Record<string, string>>} the header that says who we are */
async function identity() {
  if (inCloud()) return {}; // WeChat itself adds it there
  return { Authorization: `Bearer ${await token()}` };
}

async function token() {
  if (!session) session = wx.getStorageSync(KEY) || null;
  if (session && session.until > Date.now()) return session.token;
  return login();
}

/** Log in, once for everyone who asks at the same time. */
function login() {
  if (!running) {
    const done = () => {
      running = null;
    };
    running = logIn();
    running.then(done, done);
  }
  return running;
}

async function logIn() {
  const { code } = await jsCode();
  const answer = await exchange({ method: 'POST', path: '/api/login', data: { code }, timeout: 15000 });
  session = { token: answer.token, until: Date.now() + answer.expires_in * 1000 };
  keep(KEY, session);
  return session.token;
}

/** @returns {Promise<{code: string}>} */
function jsCode() {
  return new Promise((resolve, reject) => {
    wx.login({ success: resolve, fail: (err) => reject(new NetworkError(err.errMsg)) });
  });
}

/**
 * The server did not take this header: get another one.
 * @param {Record<string, string>} refused
 */
function renew(refused) {
  if (session && refused.Authorization === `Bearer ${session.token}`) forget();
  return identity();
}

function forget() {
  session = null;
  wx.removeStorageSync(KEY);
}

module.exports = { forget, identity, renew };
