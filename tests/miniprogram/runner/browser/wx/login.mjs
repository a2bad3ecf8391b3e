// Who the user is. The desk simulator gives the code, as WeChat would: nothing is bypassed.
import { Failure } from './api.mjs';

const OPENID_KEY = 'phone:openid';

/** The person whose phone this is; a preview remembers who came along the first time. */
function openid(phone) {
  const known = phone.settings.openid ?? localStorage.getItem(OPENID_KEY);
  return known ? { openid: known } : {};
}

export function addLogin({ phone, program, define, defineSync }) {
  define('login', async () => {
    const { faults } = phone;
    if (faults.loginFails) {
      if (typeof faults.loginFails === 'number') faults.loginFails -= 1;
      throw new Failure('timeout');
    }
    if (faults.offline) throw new Failure('network is not connected');
    let response;
    try {
      response = await fetch(`${phone.settings.simulator}/desk/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(openid(phone)),
      });
    } catch {
      throw new Failure('the simulator does not answer');
    }
    const answer = await response.json();
    if (!response.ok) throw new Failure(answer.error);
    localStorage.setItem(OPENID_KEY, answer.openid);
    return { code: answer.code };
  });
  define('checkSession', () => {});
  define('getSetting', () => ({ authSetting: { ...phone.authorized } }));
  define('openSetting', () => ({ authSetting: { ...phone.authorized } }));
  defineSync('getAccountInfoSync', () => ({
    miniProgram: { appId: 'wxdesk0000000001', envVersion: phone.settings.version ?? 'develop', version: '' },
    plugin: {},
  }));
  defineSync('getLaunchOptionsSync', () => phone.launched);
  defineSync('getEnterOptionsSync', () => phone.launched);
  defineSync('getExtConfigSync', () => program.app.ext ?? {});
}
