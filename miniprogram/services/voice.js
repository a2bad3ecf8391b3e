/** Recorded speech to text. */

const config = require('../config');
const { asUser } = require('./http');
const { exchange, inCloud, problemOf } = require('./transport');
const { NetworkError } = require('./errors');

/**
 * @param {string} filePath an MP3 recording
 * @returns {Promise<string>}
 */
async function transcribe(filePath) {
  const answer = await asUser((header) => (inCloud() ? sendBytes(filePath, header) : upload(filePath, header)));
  return answer.text;
}

/** @returns {Promise<{text: string}>} */
function upload(filePath, header) {
  return new Promise((resolve, reject) => {
    wx.uploadFile({
      url: `${config.baseUrl}/api/transcriptions`,
      filePath,
      name: 'file',
      header,
      timeout: 60000,
      success: (res) => {
        if (res.statusCode === 200) resolve(JSON.parse(res.data));
        else reject(problemOf({ status: res.statusCode, data: res.data, header: {} }));
      },
      fail: (err) => reject(new NetworkError(err.errMsg)),
    });
  });
}

/** callContainer takes no files, but bytes. */
async function sendBytes(filePath, header) {
  /** @type {{data: string | ArrayBuffer}} */
  const file = await new Promise((resolve, reject) => {
    wx.getFileSystemManager().readFile({ filePath, success: resolve, fail: (err) => reject(new NetworkError(err.errMsg)) });
  });
  const type = { 'content-type': 'audio/mpeg' };
  return exchange({ method: 'POST', path: '/api/transcriptions', data: file.data, header: Object.assign(type, header) });
}

module.exports = { transcribe };
