/** Calls of the API by somebody who is logged in. */

const auth = require('./auth');
const { exchange, inCloud } = require('./transport');
const { ApiError } = require('./errors');

/** @typedef {import('./transport').Call} Call */

/**
 * Do something as the logged-in user; when the log-in has ended, log in and do it once more.
 * @template T
 * @param {(header: Record<string, string>) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function asUser(work) {
  const header = await auth.identity();
  try {
    return await work(header);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401) || inCloud()) throw error;
    return work(await auth.renew(header));
  }
}

/**
 * @param {Call['method']} method
 * @param {string} path
 * @param {any} [data]
 * @param {number} [timeout] ms
 * @returns {Promise<any>}
 */
function call(method, path, data, timeout) {
  return asUser((header) => exchange({ method, path, data, header, timeout }));
}

/** @param {string} path @param {Record<string, string|number|undefined>} [query] @param {number} [timeout] */
function get(path, query = {}, timeout) {
  const pairs = Object.keys(query)
    .filter((name) => query[name] !== undefined && query[name] !== '')
    .map((name) => `${name}=${encodeURIComponent(String(query[name]))}`);
  return call('GET', pairs.length ? `${path}?${pairs.join('&')}` : path, undefined, timeout);
}

/** @param {string} path @param {any} [data] @param {number} [timeout] */
const post = (path, data = {}, timeout) => call('POST', path, data, timeout);
const put = (path, data) => call('PUT', path, data);
const del = (path) => call('DELETE', path);

module.exports = { asUser, del, get, post, put };
