// Toasts, dialogs, the clipboard, the keyboard.
import { Failure } from './api.mjs';
import { choose, draw, overlay, pick, textOf } from './screen.mjs';

const LONGEST_TITLE = 7; // characters of a toast with an icon; the phone cuts the rest

export function addDialogs({ phone, wx, define, defineEvent, privacy }) {
  let hide = () => {};

  function toast({ title, icon = 'success', mask }, loading) {
    hide();
    const withIcon = loading || icon === 'success' || icon === 'error' || icon === 'loading';
    if (withIcon && [...String(title ?? '')].length > LONGEST_TITLE) {
      phone.warnings.push(`a toast with an icon shows ${LONGEST_TITLE} characters: ${title}`);
    }
    const box = draw(`wx-toast${mask ? ' wx-toast-mask' : ''}`);
    box.setAttribute('role', 'status');
    const sign = { success: '✓', error: '✕', loading: '◌' }[loading ? 'loading' : icon];
    if (withIcon) box.append(textOf('span', 'wx-toast-icon', sign));
    box.append(textOf('span', 'wx-toast-title', title));
    const remove = overlay(box);
    hide = () => {
      remove();
      hide = () => {};
    };
    return remove;
  }

  define('showToast', (options) => {
    const mine = toast(options, false);
    setTimeout(mine, options.duration ?? 1500);
  });
  define('hideToast', () => hide());
  define('showLoading', (options) => { toast(options, true); });
  define('hideLoading', () => hide());

  define('showModal', async (options) => {
    for (const name of ['cancelText', 'confirmText']) {
      if ([...(options[name] ?? '')].length > 4) throw new Failure(`${name} length should not larger than 4 Chinese characters`);
    }
    const { title, content, showCancel, editable, placeholderText } = options;
    const answer = await choose({
      title, content, showCancel, editable, placeholder: placeholderText,
      cancel: options.cancelText, confirm: options.confirmText,
    });
    const confirm = editable ? answer.confirmed : answer;
    return { confirm, cancel: !confirm, ...(editable && confirm ? { content: answer.content } : {}) };
  });

  define('showActionSheet', async ({ itemList, alertText }) => {
    if (!itemList?.length || itemList.length > 6) throw new Failure('itemList should have 1 to 6 items');
    const tapIndex = await pick(itemList, alertText);
    if (tapIndex === null) throw new Failure('cancel');
    return { tapIndex };
  });

  define('setClipboardData', async ({ data }) => {
    if (typeof data !== 'string') throw new Failure('parameter.data should be String');
    await privacy.require();
    phone.clipboard = data;
    navigator.clipboard?.writeText(data).catch(() => {}); // a browser may refuse: the preview is not a phone
    toast({ title: '内容已复制', icon: 'success' });
    setTimeout(hide, 1500);
    return { data };
  });
  define('getClipboardData', async () => {
    await privacy.require();
    return { data: phone.clipboard };
  });

  define('vibrateShort', () => {});
  define('vibrateLong', () => {});

  // The keyboard: a test raises it by `phone.keyboard(height)`.
  defineEvent('KeyboardHeightChange');
  define('hideKeyboard', () => document.activeElement?.blur());
  let keyboard = null;
  phone.keyboard = (height) => {
    keyboard?.remove();
    const detail = { height, duration: 0.25 };
    const field = phone.focused;
    document.documentElement.style.translate = '';
    if (height) {
      keyboard = draw('wx-keyboard');
      keyboard.style.height = `${height}px`;
      document.documentElement.append(keyboard);
      if (field?.data.adjustPosition) {
        // The phone lifts the whole page until the field is above the keyboard.
        const { bottom } = field.$$.getBoundingClientRect();
        const overlap = bottom + (field.data.cursorSpacing ?? 0) - (innerHeight - height);
        if (overlap > 0) document.documentElement.style.translate = `0 -${overlap}px`;
        keyboard.style.bottom = `-${Math.max(0, overlap)}px`;
      }
    }
    field?.triggerEvent('keyboardheightchange', detail, {});
    phone.emit('KeyboardHeightChange', detail);
  };
}
