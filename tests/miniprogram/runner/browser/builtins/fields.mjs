// <input> and <textarea>.
import { rpx } from '../rpx.mjs';

const PROPERTIES = {
  value: String, type: String, password: Boolean, placeholder: String, placeholderStyle: String,
  placeholderClass: String, disabled: Boolean, maxlength: { type: Number, value: 140 }, focus: Boolean,
  autoFocus: Boolean, autoHeight: Boolean, confirmType: String, confirmHold: Boolean, cursorSpacing: Number,
  adjustPosition: { type: Boolean, value: true }, holdKeyboard: Boolean,
  showConfirmBar: { type: Boolean, value: true }, fixed: Boolean, cursor: Number, cursorColor: String,
  selectionStart: Number, selectionEnd: Number, disableDefaultPadding: Boolean, alwaysEmbed: Boolean,
  adjustKeyboardTo: String, name: String,
};
const CONFIRMS = /^(send|search|go|done|next)$/; // with others, Enter in a textarea is a new line

export function addFields({ define, emit, phone }) {
  const field = (tag) =>
    define(tag, {
      properties: PROPERTIES,
      created(element) {
        const control = document.createElement(tag);
        this.control = control;
        control.className = 'wx-control';
        if (tag === 'textarea') control.rows = 1;
        // What WeChat shows while nothing is written is an element, which the page may style by a class of its own.
        this.hint = document.createElement('div');
        this.hint.className = 'wx-placeholder';
        this.hint.setAttribute('aria-hidden', 'true');
        element.append(control, this.hint);

        this.grow = () => {
          if (!this.data.autoHeight || !element.isConnected) return;
          element.style.height = 'auto';
          control.style.height = 'auto';
          const height = control.scrollHeight;
          control.style.height = `${height}px`;
          if (height === this.height) return;
          this.height = height;
          emit(this, 'linechange', { height, lineCount: control.value.split('\n').length });
        };
        control.addEventListener('input', () => {
          this.grow();
          emit(this, 'input', { value: control.value, cursor: control.selectionStart, keyCode: 0 });
        });
        control.addEventListener('focus', () => {
          phone.focused = this;
          emit(this, 'focus', { value: control.value, height: 0 });
        });
        control.addEventListener('blur', () => {
          phone.focused = null;
          emit(this, 'blur', { value: control.value, cursor: control.selectionStart });
        });
        control.addEventListener('keydown', (event) => {
          if (event.key !== 'Enter' || event.isComposing) return;
          if (tag === 'textarea' && !CONFIRMS.test(this.data.confirmType ?? '')) return;
          event.preventDefault();
          emit(this, 'confirm', { value: control.value });
          if (!this.data.confirmHold) control.blur();
        });
      },
      attached() {
        this.control.maxLength = this.data.maxlength >= 0 ? this.data.maxlength : 524_288;
        this.hint.className = `wx-placeholder ${inScopeOf(this.$$, this.data.placeholderClass)}`;
        this.grow();
        if (this.data.focus || this.data.autoFocus) this.control.focus();
      },
      observe: {
        value(value) {
          if (this.control.value !== value) this.control.value = value ?? '';
          this.grow();
        },
        placeholder(value) {
          this.control.placeholder = value ?? '';
          this.hint.textContent = value ?? '';
        },
        placeholderStyle(value) { this.hint.style.cssText = rpx(value ?? ''); },
        disabled(value) { this.control.disabled = Boolean(value); },
        maxlength(value) { this.control.maxLength = value >= 0 ? value : 524_288; },
        password(value) { if (tag === 'input') this.control.type = value ? 'password' : 'text'; },
        focus(value) {
          if (value) this.control.focus();
          else this.control.blur();
        },
      },
    });
  field('input');
  field('textarea');
}

/** A class as the element's own component writes it: with that component's prefix. */
function inScopeOf(element, name = '') {
  const [prefix] = /^\w+--/.exec(element.className) ?? [''];
  return name.split(' ').filter(Boolean).map((each) => prefix + each).join(' ');
}
