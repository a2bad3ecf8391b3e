/** A sheet from below that asks for a reason: some to tap, and words of one's own. */

Component({
  properties: {
    show: { type: Boolean, value: false },
    title: { type: String, value: '' },
    reasons: { type: Array, value: [] },
    action: { type: String, value: '提交' },
  },

  data: { chosen: '', words: '' },

  observers: {
    show(show) {
      if (show) this.setData({ chosen: '', words: '' });
    },
  },

  methods: {
    choose(event) {
      const { reason } = event.currentTarget.dataset;
      this.setData({ chosen: this.data.chosen === reason ? '' : reason });
    },

    write(event) {
      this.setData({ words: event.detail.value });
    },

    close() {
      this.triggerEvent('close');
    },

    submit() {
      const reason = [this.data.chosen, this.data.words.trim()].filter(Boolean).join('：');
      if (reason) this.triggerEvent('reason', { reason });
    },

    keep() {}, // taps inside do not close the sheet
  },
});
