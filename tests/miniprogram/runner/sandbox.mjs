// What a mini-program's file may see, and what it may not: shared by the compiler and the browser side.

/** Names every module gets from us, in the order in which they are passed. */
export const GIVEN = [
  'module', 'exports', 'require', 'wx', 'App', 'Page', 'Component', 'Behavior', 'getApp', 'getCurrentPages',
  'requirePlugin', 'globalThis', 'console', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval',
];

/** What browsers have and phones' logic layer lacks: shadowed with undefined, so that using it fails here too. */
export const MISSING = [
  'window', 'self', 'document', 'location', 'history', 'navigator', 'screen', 'innerWidth', 'innerHeight',
  'localStorage', 'sessionStorage', 'indexedDB', 'caches', 'fetch', 'XMLHttpRequest', 'WebSocket', 'EventSource',
  'TextDecoder', 'TextEncoder', 'TextDecoderStream', 'ReadableStream', 'WritableStream', 'TransformStream',
  'URL', 'URLSearchParams', 'Blob', 'File', 'FileReader', 'FormData', 'Headers', 'Request', 'Response',
  'AbortController', 'AbortSignal', 'Image', 'Audio', 'AudioContext', 'MediaRecorder', 'Worker',
  'atob', 'btoa', 'crypto', 'structuredClone', 'requestAnimationFrame', 'cancelAnimationFrame',
  'requestIdleCallback', 'queueMicrotask', 'performance', 'alert', 'confirm', 'prompt', 'open', 'close',
  'Event', 'EventTarget', 'CustomEvent', 'MessageChannel', 'BroadcastChannel', 'MutationObserver',
  'IntersectionObserver', 'ResizeObserver', 'DOMParser', 'Notification', 'matchMedia', 'getComputedStyle',
  'addEventListener', 'removeEventListener', 'postMessage', 'WebAssembly', 'Intl', 'Function',
];

/** Built-in tags the browser side implements. */
export const TAGS = [
  'page', 'page-meta', 'view', 'text', 'scroll-view', 'input', 'textarea', 'button', 'image', 'rich-text', 'icon',
  'navigator', 'switch', 'label', 'form', 'checkbox', 'checkbox-group', 'radio', 'radio-group', 'slider', 'picker',
  'progress', 'swiper', 'swiper-item', 'cover-view', 'root-portal', 'match-media', 'page-container',
];

/** Tags that only the template compiler sees. */
export const TEMPLATE_TAGS = ['block', 'template', 'import', 'include', 'slot', 'wxs'];
