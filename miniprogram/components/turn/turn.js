/** A question and its answer, with what can be done about them. Shows what pages/chat/view.js made of a turn. */

Component({
  properties: {
    turn: { type: Object, value: /** @type {any} */ ({}) },
    label: { type: String, value: '' },
  },

  data: {
    /** What the user did to the reasoning: '', 'open' or 'closed'. */
    choice: '',
  },

  methods: {
    fold() {
      const { choice, turn } = this.data;
      const open = choice ? choice === 'open' : turn.musing;
      this.setData({ choice: open ? 'closed' : 'open' });
    },

    hold() {
      wx.showActionSheet({
        itemList: ['复制', '修改后再问'],
        success: ({ tapIndex }) => this.say(tapIndex === 0 ? 'copyquestion' : 'edit'),
        fail: () => {},
      });
    },

    copy() {
      this.say('copy');
    },

    again() {
      this.say('again');
    },

    retry() {
      this.say('retry');
    },

    report() {
      this.say('report');
    },

    rate(event) {
      const { rating } = event.currentTarget.dataset;
      this.say('rate', { rating: this.data.turn.rating === rating ? null : rating });
    },

    /** @param {string} name @param {object} [detail] */
    say(name, detail) {
      this.triggerEvent(name, Object.assign({ key: this.data.turn.key }, detail));
    },
  },
});
