// What WeChat itself draws over a page.

export function draw(className, ...children) {
  const element = document.createElement('div');
  element.className = className;
  element.append(...children);
  return element;
}

export function textOf(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text ?? '';
  return element;
}

/** Put it on the screen; returns what takes it away. */
export function overlay(element) {
  document.body.append(element);
  return () => element.remove();
}

/** A dialog with one or two buttons; resolves to whether the user confirmed, and what they typed. */
export function choose({ title, content, confirm = '确定', cancel = '取消', showCancel = true, editable = false, placeholder = '' }) {
  return new Promise((resolve) => {
    const buttons = draw('wx-dialog-buttons');
    const dialog = draw('wx-dialog');
    dialog.setAttribute('role', 'dialog');
    dialog.setAttribute('aria-label', title || content || '');
    if (title) dialog.append(textOf('h4', 'wx-dialog-title', title));
    let field = null;
    if (editable) {
      field = document.createElement('input');
      field.className = 'wx-dialog-input';
      field.value = content ?? '';
      field.placeholder = placeholder;
      dialog.append(field);
    } else if (content) dialog.append(textOf('p', 'wx-dialog-content', content));
    dialog.append(buttons);
    const close = overlay(draw('wx-mask', dialog));
    const answer = (value) => {
      close();
      resolve(editable ? { confirmed: value, content: field.value } : value);
    };
    const button = (text, value, className) => {
      const element = textOf('button', className, text);
      element.onclick = () => answer(value);
      buttons.append(element);
    };
    if (showCancel) button(cancel, false, 'wx-dialog-cancel');
    button(confirm, true, 'wx-dialog-confirm');
  });
}

/** A list from the bottom of the screen; resolves to the index, or to null. */
export function pick(items, title) {
  return new Promise((resolve) => {
    const sheet = draw('wx-sheet');
    sheet.setAttribute('role', 'dialog');
    const close = overlay(draw('wx-mask wx-mask-bottom', sheet));
    const answer = (value) => {
      close();
      resolve(value);
    };
    if (title) sheet.append(textOf('p', 'wx-sheet-title', title));
    [...items, '取消'].forEach((item, index) => {
      const row = textOf('button', 'wx-sheet-row', item);
      row.onclick = () => answer(index < items.length ? index : null);
      sheet.append(row);
    });
  });
}
