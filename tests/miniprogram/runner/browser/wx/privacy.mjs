// The privacy guide: what touches the clipboard or the microphone waits until the user has agreed to it.
import { Failure } from './api.mjs';
import { choose } from './screen.mjs';

const NAME = '《小程序隐私保护指引》';

export function addPrivacy({ phone, define, defineEvent }) {
  let asking = null;

  /** Ask once; the page may have a dialog of its own (wx.onNeedPrivacyAuthorization), else WeChat's appears. */
  function agreement() {
    if (!phone.faults.needPrivacy || phone.agreed) return Promise.resolve(true);
    asking ??= new Promise((resolve) => {
      if (phone.faults.denyPrivacy) resolve(false);
      else if (phone.listened('NeedPrivacyAuthorization')) {
        const answer = ({ event }) => {
          if (event === 'exposureAuthorization') return;
          resolve(event === 'agree');
        };
        phone.emit('NeedPrivacyAuthorization', answer, { referrer: 'wx' });
      } else {
        choose({ title: '用户隐私保护提示', content: `使用前请阅读${NAME}`, cancel: '拒绝', confirm: '同意' }).then(resolve);
      }
    }).then((agreed) => {
      asking = null;
      phone.agreed = agreed;
      return agreed;
    });
    return asking;
  }

  async function require() {
    if (!(await agreement())) throw new Failure('privacy permission is not authorized', { errno: 104 });
  }

  defineEvent('NeedPrivacyAuthorization');
  define('getPrivacySetting', () => ({
    needAuthorization: phone.faults.needPrivacy && !phone.agreed,
    privacyContractName: NAME,
  }));
  define('requirePrivacyAuthorize', require);
  define('openPrivacyContract', () => {});
  return { require };
}
