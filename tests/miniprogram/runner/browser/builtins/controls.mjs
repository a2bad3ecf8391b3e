// Buttons, choices, and the form around them.
import { pick } from '../wx/screen.mjs';
import { closest } from './index.mjs';

const TOUCHES = ['mousedown', 'mouseup', 'touchstart', 'touchend', 'click'];

export function addControls({ define, emit, phone, pages }) {
  // What a button does by itself, beside its tap.
  const openTypes = {
    share(button) {
      phone.shared = phone.share('button', { id: button.id, dataset: button.dataset });
    },
    openSetting(button) {
      if (phone.authorized['scope.record'] === false && !phone.faults.denyRecord) phone.authorized['scope.record'] = true;
      emit(button, 'opensetting', { authSetting: { ...phone.authorized } });
    },
    agreePrivacyAuthorization(button) {
      phone.agreed = true;
      emit(button, 'agreeprivacyauthorization', {});
    },
    contact: () => phone.record('openCustomerServiceConversation', {}),
    feedback: () => phone.record('openFeedback', {}),
  };

  define('button', {
    properties: {
      type: { type: String, value: 'default' }, size: { type: String, value: 'default' }, plain: Boolean,
      disabled: Boolean, loading: Boolean, formType: String, openType: String,
    },
    created(element) {
      element.setAttribute('role', 'button');
      element.setAttribute('tabindex', '0');
      for (const type of TOUCHES) {
        // Before the framework hears of it: a disabled button has no tap, and nothing around it has one either.
        element.addEventListener(type, (event) => {
          if (this.data.disabled) event.stopPropagation();
        }, true);
      }
      element.addEventListener('click', () => {
        const { disabled, openType, formType } = this.data;
        if (disabled) return;
        if (openType) openTypes[openType]?.(this);
        if (formType) closest(this, 'form')?.act(formType);
      });
    },
    observe: {
      type(value) { this.$$.setAttribute('type', value); },
      size(value) { this.$$.setAttribute('size', value); },
      plain(value) { this.$$.toggleAttribute('plain', Boolean(value)); },
      loading(value) { this.$$.toggleAttribute('loading', Boolean(value)); },
      disabled(value) {
        this.$$.toggleAttribute('disabled', Boolean(value));
        this.$$.setAttribute('aria-disabled', String(Boolean(value)));
      },
    },
  });

  define('form', {
    created(element) {
      this.act = (what) => {
        const fields = [...element.querySelectorAll('*')].map((node) => node.__wxElement).filter((each) => each?.data?.name);
        const value = (each) => each.control?.value ?? each.chosen?.() ?? each.data.value;
        if (what === 'submit') {
          emit(this, 'submit', { value: Object.fromEntries(fields.map((each) => [each.data.name, value(each)])) });
        } else emit(this, 'reset', {});
      };
    },
  });

  define('label', {
    properties: { for: String },
    created(element) {
      element.addEventListener('click', ({ target }) => {
        const id = this.data.for;
        const control = id
          ? pages.top().element.querySelector(`[id$="--${CSS.escape(id)}"] input`)
          : element.querySelector('input');
        if (control && target !== control) control.click();
      });
    },
  });

  const input = (type) =>
    function created(element) {
      this.control = document.createElement('input');
      this.control.type = type;
      element.append(this.control);
    };
  const look = {
    checked(value) { this.control.checked = Boolean(value); },
    disabled(value) { this.control.disabled = Boolean(value); },
  };

  define('switch', {
    properties: { checked: Boolean, disabled: Boolean, color: String, type: String, name: String },
    created(element) {
      input('checkbox').call(this, element);
      this.control.setAttribute('role', 'switch');
      this.control.addEventListener('change', () => emit(this, 'change', { value: this.control.checked }));
      this.chosen = () => this.control.checked;
    },
    observe: { ...look, color(value) { this.control.style.accentColor = value; } },
  });

  // Boxes and rounds tell the group around them.
  for (const [tag, type] of [['checkbox', 'checkbox'], ['radio', 'radio']]) {
    define(tag, {
      properties: { value: String, checked: Boolean, disabled: Boolean, color: String },
      created(element) {
        input(type).call(this, element);
        this.control.addEventListener('change', () => closest(this, `${tag}-group`)?.changed(this));
      },
      attached() {
        const group = closest(this, `${tag}-group`);
        if (group) this.control.name = group.$$.dataset.group ??= `group-${Math.random()}`;
      },
      observe: look,
    });
    define(`${tag}-group`, {
      properties: { name: String },
      created(element) {
        const members = () => [...element.querySelectorAll(`wx-${tag}`)].map((node) => node.__wxElement);
        this.chosen = () => {
          const values = members().filter((each) => each.control.checked).map((each) => each.data.value);
          return tag === 'radio' ? values[0] ?? '' : values;
        };
        this.changed = () => emit(this, 'change', { value: this.chosen() });
      },
    });
  }

  define('slider', {
    properties: {
      min: { type: Number, value: 0 }, max: { type: Number, value: 100 }, step: { type: Number, value: 1 },
      value: Number, disabled: Boolean, showValue: Boolean, name: String,
    },
    created(element) {
      input('range').call(this, element);
      this.control.addEventListener('input', () => emit(this, 'changing', { value: Number(this.control.value) }));
      this.control.addEventListener('change', () => emit(this, 'change', { value: Number(this.control.value) }));
    },
    observe: {
      'min, max, step'(min, max, step) { Object.assign(this.control, { min, max, step }); },
      value(value) { this.control.value = value; },
      disabled: look.disabled,
    },
  });

  define('picker', {
    properties: { mode: { type: String, value: 'selector' }, range: Array, rangeKey: String, value: null, disabled: Boolean, headerText: String, name: String },
    created(element) {
      element.addEventListener('click', async () => {
        const { mode, range, rangeKey, disabled, headerText } = this.data;
        if (disabled || mode !== 'selector') return;
        const index = await pick(range.map((item) => (rangeKey ? item[rangeKey] : item)), headerText);
        if (index === null) emit(this, 'cancel', {});
        else emit(this, 'change', { value: String(index) });
      });
    },
  });
}
