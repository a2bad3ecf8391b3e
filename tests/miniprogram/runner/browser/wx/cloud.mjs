// wx.cloud.callContainer: WeChat's own line to cloud hosting. It neither streams nor lasts; the gateway behind it
// says who is calling. Here the server that serves the page plays the gateway (`settings.cloud` is its address).
import { Failure } from './api.mjs';
import { asFetch, decoded } from './network.mjs';

const LARGEST_REQUEST = 100 * 1024;

export function addCloud({ phone, wx, settle }) {
  let initialised = null;

  async function call({ config, path, header = {}, data, method, timeout, dataType, responseType }) {
    if (!phone.settings.cloud) throw new Failure('errCode: -601034 | errMsg: 没有权限，请先开通云托管');
    if (!config?.env && !initialised?.env) throw new Failure('env not specified');
    const service = Object.entries(header).find(([name]) => name.toLowerCase() === 'x-wx-service')?.[1];
    if (!service) throw new Failure('errCode: -501000 | errMsg: Invalid host (no X-WX-SERVICE)');
    const { url, headers, body, method: verb } = asFetch({ url: path, header, data, method });
    if ((body?.length ?? body?.byteLength ?? 0) > LARGEST_REQUEST) {
      throw new Failure('errCode: 102003 | errMsg: data exceed max size');
    }
    if (phone.faults.offline || phone.suspended) throw new Failure('errCode: -1 | errMsg: network error');
    const controller = new AbortController();
    const longest = Math.min(timeout ?? 15_000, 15_000) * (phone.faults.containerMs / 15_000);
    let reason = '';
    const end = (why) => {
      reason = why;
      controller.abort();
    };
    const timer = setTimeout(() => end('errCode: 102002 | errMsg: 请求超时'), longest);
    const interrupt = () => end('interrupted');
    phone.on('interrupt', interrupt);
    try {
      const response = await fetch(phone.settings.cloud + url, {
        method: verb,
        body,
        signal: controller.signal,
        cache: 'no-store',
        headers: { ...headers, 'x-phone-openid': phone.settings.openid },
      });
      const value = decoded(await response.arrayBuffer(), { dataType, responseType });
      return { statusCode: response.status, header: Object.fromEntries(response.headers), data: value, callID: 'local' };
    } catch (fault) {
      throw new Failure(reason || `errCode: -1 | errMsg: ${fault.message}`);
    } finally {
      clearTimeout(timer);
      phone.off('interrupt', interrupt);
    }
  }

  wx.cloud = {
    init: (options = {}) => {
      phone.record('cloud.init', options);
      initialised = options;
    },
    callContainer: async (options) => {
      phone.record('cloud.callContainer', options);
      const name = 'cloud.callContainer';
      try {
        if (!initialised) throw new Failure('Cloud API isn\'t enabled, please call wx.cloud.init first');
        return settle(options, name, true, await call(options));
      } catch (fault) {
        const result = settle(options, name, false, fault);
        if (!options.fail && !options.complete) throw result;
        return result;
      }
    },
  };
}
