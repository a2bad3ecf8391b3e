/**
 * One exchange with the server, by wx.request or, on WeChat cloud hosting, by wx.cloud.callContainer.
 * Knows nothing about log-in; services/http.js does.
 */

const config = require('../config');
const { ApiError, NetworkError } = require('./errors');
const { sentenceOf } = require('../utils/wording');

const CLOUD_LIMIT = 15000; // the longest callContainer waits, in ms
const REQUEST_LIMIT = 60000;

/**
 * @typedef {{method: 'GET'|'POST'|'PUT'|'DELETE', path: string, data?: any, header?: Record<string, string>, timeout?: number}} Call
 * @typedef {{status: number, data: any, header: Record<string, string>}} Answer
 */

const inCloud = () => !!config.cloudEnv;

/**
 * @param {Call} call
 * @returns {Promise<any>} the body; rejects with ApiError or NetworkError
 */
async function exchange(call) {
  const answer = await (inCloud() ? viaCloud(call) : viaRequest(call));
  if (answer.status >= 200 && answer.status < 300) return answer.data;
  throw problemOf(answer);
}

/** @param {Call} call @returns {Promise<Answer>} */
function viaRequest(call) {
  return new Promise((resolve, reject) => {
    wx.request({
      url: config.baseUrl + call.path,
      method: call.method,
      data: call.data,
      header: Object.assign({ 'content-type': 'application/json' }, call.header),
      timeout: call.timeout || REQUEST_LIMIT,
      success: (res) => resolve({ status: res.statusCode, data: res.data, header: res.header || {} }),
      fail: (err) => reject(new NetworkError(err.errMsg)),
    });
  });
}

let cloudReady = false;

/** @param {Call} call @returns {Promise<Answer>} */
function viaCloud(call) {
  if (!cloudReady) {
    wx.cloud.init({ env: config.cloudEnv });
    cloudReady = true;
  }
  return new Promise((resolve, reject) => {
    wx.cloud.callContainer({
      config: { env: config.cloudEnv },
      path: call.path,
      method: call.method,
      data: call.data,
      header: Object.assign({ 'X-WX-SERVICE': config.cloudService, 'content-type': 'application/json' }, call.header),
      timeout: Math.min(call.timeout || CLOUD_LIMIT, CLOUD_LIMIT),
      success: (res) => resolve({ status: res.statusCode, data: res.data, header: res.header || {} }),
      fail: (err) => reject(new NetworkError(err.errMsg)),
    });
  });
}

/**
 * The server's refusal as an error, whatever body came with it.
 * @param {Answer} answer
 */
function problemOf(answer) {
  let body = answer.data;
  if (typeof body === 'string') {
    try {
      body = JSON.parse(body);
    } catch (_) {
      body = null; // a page of some gateway
    }
  }
  const code = (body && body.code) || (answer.status === 401 ? 'unauthorized' : 'internal');
  const retryAfter = Number(answer.header['Retry-After'] || answer.header['retry-after']) || 0;
  return new ApiError({ status: answer.status, code, detail: (body && body.detail) || sentenceOf(code), retryAfter });
}

module.exports = { exchange, inCloud, problemOf, REQUEST_LIMIT };
