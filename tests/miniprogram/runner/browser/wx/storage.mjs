// Storage: what survives a restart. 1 MB a key, 10 MB in all.
import { Failure } from './api.mjs';

const PREFIX = 'wx:';
const LARGEST = 1024 * 1024;

export function addStorage({ phone, define, defineSync }) {
  const keys = () => Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  const size = (key) => new Blob([localStorage.getItem(key)]).size;

  function put(key, value) {
    const text = JSON.stringify({ value });
    const bytes = new Blob([text]).size;
    if (bytes > LARGEST) throw new Failure('entry size limit reached');
    const others = keys().filter((each) => each !== PREFIX + key).reduce((sum, each) => sum + size(each), 0);
    if (others + bytes > phone.faults.storageBytes) throw new Failure('exceed storage max size');
    localStorage.setItem(PREFIX + key, text);
  }

  function get(key) {
    const text = localStorage.getItem(PREFIX + key);
    return text === null ? '' : JSON.parse(text).value;
  }

  const remove = (key) => localStorage.removeItem(PREFIX + key);
  const clear = () => keys().forEach((key) => localStorage.removeItem(key));
  const info = () => ({
    keys: keys().map((key) => key.slice(PREFIX.length)),
    currentSize: Math.ceil(keys().reduce((sum, key) => sum + size(key), 0) / 1024),
    limitSize: phone.faults.storageBytes / 1024,
  });

  defineSync('setStorageSync', (key, value) => {
    phone.record('setStorageSync', { key });
    try {
      put(key, value);
    } catch (fault) {
      throw new Error(`setStorageSync:fail ${fault.message}`);
    }
  });
  defineSync('getStorageSync', get);
  defineSync('removeStorageSync', remove);
  defineSync('clearStorageSync', clear);
  defineSync('getStorageInfoSync', info);
  define('setStorage', ({ key, data }) => put(key, data));
  define('getStorage', ({ key }) => {
    if (localStorage.getItem(PREFIX + key) === null) throw new Failure('data not found');
    return { data: get(key) };
  });
  define('removeStorage', ({ key }) => remove(key));
  define('clearStorage', clear);
  define('getStorageInfo', info);
}
