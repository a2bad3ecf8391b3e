/**
 * Where questions are written. Holds the text; the page takes it by the `send` event and gives it back by `fill`.
 * The button says where things stand: 发送 → 发送中 → 停止.
 */

const WORDS = { idle: '发送', sending: '发送中', answering: '停止', stopping: '停止中' };

Component({
  properties: {
    /** See `stage` of stores/thread.js. */
    stage: { type: String, value: 'idle' },
    label: { type: String, value: '' },
    canThink: { type: Boolean, value: false },
    thinking: { type: Boolean, value: false },
    canTalk: { type: Boolean, value: false },
    most: { type: Number, value: 2000 },
  },

  data: { text: '', talking: false, word: WORDS.idle, tall: true },

  observers: {
    stage(stage) {
      this.setData({ word: WORDS[stage] || WORDS.idle });
    },
  },

  methods: {
    /** Put a text into the input; what somebody began to write there is not thrown away. */
    fill(text) {
      const written = this.data.text.trim();
      const both = written && written !== text ? `${text}\n${written}` : text;
      this.setData({ text: both, talking: false });
      this.triggerEvent('draft', { text: both });
    },

    write(event) {
      this.setData({ text: event.detail.value });
      this.triggerEvent('draft', { text: event.detail.value });
    },

    act() {
      if (this.data.stage === 'answering') this.triggerEvent('stop');
      else this.send();
    },

    send() {
      const text = this.data.text.trim();
      if (!text || this.data.stage !== 'idle') return;
      this.setData({ text: '' });
      this.triggerEvent('draft', { text: '' });
      this.triggerEvent('send', { text });
    },

    think() {
      this.triggerEvent('think', { on: !this.data.thinking });
    },

    async switchMode() {
      if (this.data.talking) return this.setData({ talking: false });
      // The permission is asked for on a tap, not while a finger is held down.
      const voice = this.selectComponent('.voice');
      if (await voice.prepare()) this.setData({ talking: true });
    },

    heard(event) {
      const text = this.data.text + event.detail.text;
      // First the field, then the text: it measures what it is given when it is there.
      this.setData({ talking: false }, () => this.setData({ text }));
      this.triggerEvent('draft', { text });
    },

    keyboard(event) {
      this.triggerEvent('keyboard', { height: event.detail.height });
    },

    grow() {
      this.triggerEvent('grow');
    },
  },
});
