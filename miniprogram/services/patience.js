/** Waiting that the app's going to the background stretches and its coming back cuts short. */
class Patience {
  constructor() {
    this.asleep = false;
    this.over = false; // nothing is waited for any more
    this.wake = () => {};
  }

  sleep() {
    this.asleep = true;
  }

  /** Back in the foreground, or the network is back: whoever waits goes on at once. */
  resume() {
    this.asleep = false;
    this.wake();
  }

  end() {
    this.over = true;
    this.wake();
  }

  /** @returns {Promise<void>} when the app is in the foreground */
  async awake() {
    while (this.asleep && !this.over) await this.until(() => {});
  }

  /** @param {number} ms @returns {Promise<void>} */
  async rest(ms) {
    if (ms <= 0 || this.over) return;
    let timer = 0;
    await this.until((done) => {
      timer = setTimeout(done, ms);
    });
    clearTimeout(timer);
  }

  /** @param {(done: () => void) => void} begin @returns {Promise<void>} */
  until(begin) {
    return new Promise((resolve) => {
      this.wake = () => resolve();
      begin(() => resolve());
    });
  }
}

module.exports = { Patience };
