// The built-in components. Containers are their own element; controls hold a real one of the browser (`this.control`).
import { addContainers } from './containers.mjs';
import { addControls } from './controls.mjs';
import { addFields } from './fields.mjs';
import { addMedia } from './media.mjs';
import { addRichText } from './rich-text.mjs';
import { addScrolling } from './scrolling.mjs';

// Properties of every component that end up as attributes for screen readers.
const ARIA = {
  ariaLabel: 'aria-label', ariaRole: 'role', role: 'role', ariaHidden: 'aria-hidden', ariaLive: 'aria-live',
  ariaDisabled: 'aria-disabled', ariaExpanded: 'aria-expanded', ariaChecked: 'aria-checked',
  ariaSelected: 'aria-selected', ariaBusy: 'aria-busy', ariaModal: 'aria-modal', ariaDescribedby: 'aria-describedby',
};

export function defineBuiltins({ glassEasel, phone, wx, pages }) {
  const space = pages.space.getComponentSpace();

  /**
   * Define <tag>. `created` and `attached` get the element; `observe` is called with each new value of a property.
   */
  function define(tag, { properties = {}, observe = {}, created, attached, detached } = {}) {
    const reflected = Object.fromEntries(Object.keys(ARIA).map((name) => [name, String]));
    const observers = Object.entries(ARIA).map(([name, attribute]) => [
      name,
      function reflect(value) {
        const element = this.control ?? this.$$;
        if (value === '' || value === undefined || value === null) element.removeAttribute(attribute);
        else element.setAttribute(attribute, String(value));
      },
    ]);
    observers.push(['hidden', function hide(value) { this.$$.hidden = Boolean(value); }]);
    // A page that was left may still set its data; there is nothing left to show it then.
    const alive = ([name, observer]) => [name, function watch(...values) { if (this.$$) observer.apply(this, values); }];
    const component = space
      .define(`builtin/${tag}`)
      .options({ writeFieldsToNode: true, virtualHost: false })
      .definition({
        properties: {
          hidden: Boolean, hoverClass: String, hoverStartTime: Number, hoverStayTime: Number,
          hoverStopPropagation: Boolean, ...reflected, ...properties,
        },
        observers: Object.fromEntries([...observers, ...Object.entries(observe)].map(alive)),
        lifetimes: {
          created() { created?.call(this, this.$$); },
          attached() { attached?.call(this, this.$$); },
          detached() { detached?.call(this, this.$$); },
        },
      })
      .registerComponent();
    space.setGlobalUsingComponent(tag, component);
  }

  /** Tell the page; most events of components do not bubble. */
  const emit = (component, name, detail, options = {}) =>
    component.triggerEvent(name, detail, { bubbles: false, composed: false, ...options });

  const tools = { define, emit, phone, wx, pages, glassEasel };
  for (const add of [addContainers, addControls, addFields, addMedia, addRichText, addScrolling]) add(tools);
}

/** What belongs to the element's component of that tag around it, e.g. the form around a field. */
export function closest(component, tag) {
  return component.$$.parentElement?.closest(`wx-${tag}`)?.__wxElement;
}
