/**
 * Calls `work` at once the first time, then at most every `gap` ms while it is asked for.
 * The first character shows without delay, the hundred after it share a few updates.
 */
class Throttle {
  /**
   * @param {() => void} work
   * @param {number} gap
   */
  constructor(work, gap) {
    this.work = work;
    this.gap = gap;
    this.last = 0;
    this.timer = 0;
  }

  ask() {
    if (this.timer) return;
    const wait = this.last + this.gap - Date.now();
    // A clock that was set back must not stop the screen.
    if (wait <= 0 || wait > this.gap) this.now();
    else this.timer = setTimeout(() => this.now(), wait);
  }

  now() {
    this.cancel();
    this.last = Date.now();
    this.work();
  }

  cancel() {
    clearTimeout(this.timer);
    this.timer = 0;
  }
}

module.exports = { Throttle };
