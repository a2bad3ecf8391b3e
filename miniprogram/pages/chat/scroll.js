/**
 * Keeps the end of the conversation in sight until the user scrolls up, and again when they come back down.
 * The list is moved by `scroll-into-view`, in the same setData as the text: two ids take turns, as only a change counts.
 */

const NEAR = 60; // px from the end that count as being there

class Scroll {
  constructor() {
    this.following = true;
    this.touching = false;
    this.height = 0; // of the list's window; measured by the page
    this.top = 0;
    this.turn = false;
  }

  /** @param {{scrollTop: number, scrollHeight: number}} detail of a scroll event @returns {boolean} whether `following` changed */
  moved({ scrollTop, scrollHeight }) {
    const before = this.following;
    const distance = scrollHeight - scrollTop - this.height;
    // Text that grows takes the end away without moving the list; only going up is the user's will.
    if (scrollTop < this.top - 2 && distance > NEAR) this.following = false;
    else if (distance < NEAR / 2) this.following = true;
    this.top = scrollTop;
    return before !== this.following;
  }

  /** @returns {string} the id to scroll to now; '' leaves the list alone */
  target() {
    if (!this.following || this.touching) return '';
    return this.end();
  }

  end() {
    this.following = true;
    this.turn = !this.turn;
    return this.turn ? 'end-a' : 'end-b';
  }
}

module.exports = { Scroll };
