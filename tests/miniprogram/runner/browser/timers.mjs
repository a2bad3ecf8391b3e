// The pages' timers. WeChat suspends a mini-program in the background: what falls due then, fires when it is back.

export function createTimers(phone) {
  const running = new Map(); // our ids → the browser's
  const late = new Set();
  let last = 0;

  phone.on('resume', () => {
    const due = [...late];
    late.clear();
    due.forEach((fire) => fire());
  });

  const starter = (repeats) => (callback, delay = 0, ...args) => {
    last += 1;
    const id = last;
    const fire = () => {
      if (!running.has(id)) return;
      if (phone.suspended) {
        late.add(fire); // a set: an interval does not pile up
        return;
      }
      if (!repeats) running.delete(id);
      phone.guard('timer', () => callback(...args));
    };
    const start = repeats ? window.setInterval : window.setTimeout;
    running.set(id, start.call(window, fire, delay / phone.faults.timerSpeed));
    return id;
  };
  const stop = (id) => {
    window.clearTimeout(running.get(id)); // one list of timers in browsers: it clears intervals too
    running.delete(id);
  };
  return { setTimeout: starter(false), clearTimeout: stop, setInterval: starter(true), clearInterval: stop };
}
