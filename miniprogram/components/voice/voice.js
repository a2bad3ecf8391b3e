/**
 * Hold to talk: press, speak, let go; slide up to cancel. What was said comes as the `text` event.
 * Nothing is recorded before the user agreed to the privacy guide and gave the microphone free.
 */

const { loudness } = require('../../utils/loudness');
const { Throttle } = require('../../utils/throttle');
const { BAD_NETWORK } = require('../../utils/wording');
const { ApiError } = require('../../services/errors');
const { transcribe } = require('../../services/voice');
const { allowRecording } = require('./permission');

const CANCEL_PX = 70; // how far up the finger goes to cancel
const SHORTEST = 600; // ms
const LONGEST = 60000;
const BARS = 24;
/** @type {WechatMiniprogram.RecorderManagerStartOption} */
const RECORDING = { duration: LONGEST, sampleRate: 16000, numberOfChannels: 1, encodeBitRate: 48000, format: 'mp3', frameSize: 1 };

Component({
  properties: { active: { type: Boolean, value: false } },

  /** `stage`: idle → recording → recognising → idle */
  data: { stage: 'idle', cancelling: false, bars: /** @type {number[]} */ ([]), seconds: 0 },

  lifetimes: {
    attached() {
      const self = /** @type {any} */ (this);
      const recorder = wx.getRecorderManager();
      self.recorder = recorder;
      self.levels = [];
      self.drawing = new Throttle(() => this.draw(), 120);
      recorder.onStart(() => this.started());
      recorder.onStop((result) => this.stopped(result));
      recorder.onError(() => this.failed());
      recorder.onFrameRecorded((result) => this.hear(loudness(result.frameBuffer)));
      recorder.onInterruptionBegin(() => this.release({ cancel: true }));
    },

    detached() {
      this.release({ cancel: true });
    },
  },

  pageLifetimes: {
    hide() {
      this.release({ cancel: true });
    },
  },

  methods: {
    /** Ask for what recording needs. @returns {Promise<boolean>} */
    prepare() {
      return allowRecording();
    },

    press(event) {
      const self = /** @type {any} */ (this);
      if (this.data.stage !== 'idle') return;
      self.pressedAt = event.touches[0].clientY;
      self.since = Date.now();
      self.cancelled = false;
      self.held = true;
      self.levels = [];
      this.setData({ stage: 'recording', cancelling: false, bars: flat(), seconds: 0 });
      if (wx.vibrateShort) wx.vibrateShort({ type: 'light', fail: () => {} });
      self.recorder.start(RECORDING);
      self.clock = setInterval(() => this.draw(), 500);
    },

    slide(event) {
      if (this.data.stage !== 'recording') return;
      const cancelling = /** @type {any} */ (this).pressedAt - event.touches[0].clientY > CANCEL_PX;
      if (cancelling !== this.data.cancelling) this.setData({ cancelling });
    },

    /** @param {{cancel?: boolean}} [how] a touch event, or a reason of our own */
    release(how) {
      const self = /** @type {any} */ (this);
      if (this.data.stage !== 'recording' || !self.held) return;
      self.held = false;
      self.cancelled = this.data.cancelling || (how && how.cancel === true);
      self.recorder.stop();
      if (self.cancelled) this.quiet();
    },

    interrupt() {
      this.release({ cancel: true });
    },

    started() {
      const self = /** @type {any} */ (this);
      if (!self.held) self.recorder.stop(); // let go before the microphone was ready
    },

    async stopped(result) {
      const self = /** @type {any} */ (this);
      clearInterval(self.clock);
      if (self.cancelled || this.data.stage !== 'recording') return this.quiet();
      self.held = false;
      if ((result.duration || Date.now() - self.since) < SHORTEST) {
        wx.showToast({ title: '说话时间太短', icon: 'none' });
        return this.quiet();
      }
      this.setData({ stage: 'recognising' });
      try {
        const text = await transcribe(result.tempFilePath);
        if (text) this.triggerEvent('text', { text });
        else wx.showToast({ title: '没有听清，请再说一次', icon: 'none' });
      } catch (error) {
        wx.showToast({ title: error instanceof ApiError ? error.detail : BAD_NETWORK, icon: 'none' });
      }
      return this.quiet();
    },

    failed() {
      if (this.data.stage === 'idle') return;
      wx.showToast({ title: '录音没有成功，请再试一次', icon: 'none' });
      this.quiet();
    },

    quiet() {
      clearInterval(/** @type {any} */ (this).clock);
      /** @type {any} */ (this).drawing.cancel();
      this.setData({ stage: 'idle', cancelling: false });
    },

    hear(level) {
      const self = /** @type {any} */ (this);
      self.levels.push(level);
      if (this.data.stage === 'recording') self.drawing.ask();
    },

    draw() {
      const self = /** @type {any} */ (this);
      const heard = self.levels.slice(-BARS).map((level) => Math.round(10 + 90 * level));
      this.setData({ bars: flat().slice(heard.length).concat(heard), seconds: Math.floor((Date.now() - self.since) / 1000) });
    },
  },
});

/** @returns {number[]} percent */
function flat() {
  return Array.from({ length: BARS }, () => 10);
}
