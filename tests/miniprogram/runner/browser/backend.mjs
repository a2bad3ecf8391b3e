// glass-easel's DOM backend, made to behave like a phone: wx-* elements, rpx, fingers and long presses.
import { glassEasel } from 'glass-easel-miniprogram-adapter';
import { TAGS } from '../sandbox.mjs';
import { rpx } from './rpx.mjs';

const LONG_PRESS_MS = 350;

export function createBackend(phone) {
  const backend = new glassEasel.CurrentWindowBackendContext();
  backend.document = {
    // Elements of unknown names, because browsers style the ones they know.
    createElement(tag) {
      const element = document.createElement(TAGS.includes(tag) ? `wx-${tag}` : tag);
      element.setAttribute = function setAttribute(name, value) {
        Element.prototype.setAttribute.call(this, name, name === 'style' ? rpx(String(value ?? '')) : value);
      };
      return element;
    },
    createTextNode: (text) => document.createTextNode(text),
    createDocumentFragment: () => document.createDocumentFragment(),
  };
  backend.onEvent(dispatch);

  // The built-in components tell of input, scroll, focus and load themselves, with the detail mini-programs expect;
  // without this, handlers would hear the browser's event too.
  const listen = backend.setListenerStats;
  backend.setListenerStats = function setListenerStats(element, type, ...rest) {
    if (/^(touch|mouse|transition|animation)/.test(type)) listen.call(this, element, type, ...rest);
  };

  backend.getContext = (element, answer) => answer(element.context ?? {});

  glassEasel.globalOptions.writeIdToDOM = true; // as <some prefix>--<id>
  glassEasel.addGlobalErrorListener((fault, info) => {
    phone.blame(info?.type ?? 'framework', fault);
    return false;
  });
  glassEasel.addGlobalWarningListener((warning) => {
    phone.warnings.push(String(warning.message ?? warning));
    return false;
  });
  watchFingers();
  return backend;
}

function dispatch(target, type, detail, options) {
  const { originalEvent } = options;
  const touches = fingers(originalEvent, 'touches');
  const changedTouches = fingers(originalEvent, 'changedTouches');
  const event = new glassEasel.Event(type, detail, { ...options, extraFields: { touches, changedTouches } });
  glassEasel.Event.dispatchEvent(target, event);
  return event.getEventBubbleStatus();
}

function fingers(event, list) {
  const points = event?.[list] ?? (event?.clientX === undefined ? [] : [event]);
  return [...points].map(({ identifier = 0, clientX, clientY, pageX, pageY }) => ({
    identifier, clientX, clientY, pageX, pageY,
  }));
}

/** The framework's element that a DOM node belongs to. */
function ownerOf(node) {
  let each = node;
  while (each && !each.__wxElement) each = each.parentNode;
  return each?.__wxElement;
}

/** Long presses; and on a desktop the mouse is a finger. */
function watchFingers() {
  const { body } = document;
  const options = { capture: true, passive: true };
  const tell = (event, type, detail = {}) => {
    const owner = ownerOf(event.target);
    if (owner) dispatch(owner, type, detail, { originalEvent: event, bubbles: true, composed: true, capturePhase: true });
  };
  let timer;
  let touchScreen = false;
  const press = (event) => {
    clearTimeout(timer);
    const { clientX: x, clientY: y } = fingers(event, 'touches')[0] ?? {};
    timer = setTimeout(() => tell(event, 'longpress', { x, y }), LONG_PRESS_MS);
  };
  const release = () => clearTimeout(timer);
  for (const type of ['touchstart', 'mousedown']) body.addEventListener(type, press, options);
  for (const type of ['touchend', 'touchcancel', 'touchmove', 'mouseup']) body.addEventListener(type, release, options);
  body.addEventListener('touchstart', () => { touchScreen = true; }, options);
  const asTouch = { mousedown: 'touchstart', mousemove: 'touchmove', mouseup: 'touchend' };
  for (const [mouse, touch] of Object.entries(asTouch)) {
    body.addEventListener(mouse, (event) => {
      if (!touchScreen && (mouse !== 'mousemove' || event.buttons)) tell(event, touch);
    }, options);
  }
}
