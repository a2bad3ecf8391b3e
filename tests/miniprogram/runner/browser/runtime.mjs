// The browser side: makes a phone, gives it a `wx`, runs the compiled mini-program on it.
import { glassEasel } from 'glass-easel-miniprogram-adapter';
import { audit } from './audit.mjs';
import { createBackend } from './backend.mjs';
import { defineBuiltins } from './builtins/index.mjs';
import css from './builtins/builtins.css';
import { createModules } from './modules.mjs';
import { createPages } from './pages.mjs';
import { createPhone } from './phone.mjs';
import { rpx } from './rpx.mjs';
import { createWx } from './wx/index.mjs';

/**
 * What this phone is: {api, simulator, openid, cloud, faults, overrides, stored, preview}.
 * It comes from whoever serves the page: a test, or the simulator.
 */
async function settingsOfPhone() {
  return (await fetch(`phone.json${location.search}`, { cache: 'no-store' })).json();
}

async function main() {
  const settings = await settingsOfPhone();
  const program = window.__MINIPROGRAM__;
  const phone = createPhone(settings);
  window.phone = phone;
  addEventListener('error', (event) => phone.blame('error', event.error ?? event.message));
  addEventListener('unhandledrejection', (event) => {
    phone.emit('UnhandledRejection', { reason: String(event.reason?.message ?? event.reason) });
    phone.blame('unhandled rejection', event.reason);
  });

  const sheet = document.createElement('style');
  sheet.textContent = rpx(css);
  document.head.append(sheet);

  const pages = createPages({ phone, program, backend: createBackend(phone) });
  const wx = createWx({ phone, program, pages });
  for (const [key, value] of Object.entries(settings.stored ?? {})) wx.setStorageSync(key, value);
  phone.wx = wx;
  phone.audit = audit;
  defineBuiltins({ glassEasel, phone, wx, pages });
  const load = createModules({ phone, program, wx, register: pages.register, behavior: pages.behavior });

  phone.setFaults({});
  phone.guard('app.js', () => load('app.js'));
  phone.app ??= {};
  pages.defineAll(load);
  pages.watchUser();
  phone.guard('launch', () => pages.launch(new URLSearchParams(location.search).get('page') ?? undefined));
  phone.ready = true;
}

main();
