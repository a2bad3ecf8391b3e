// The microphone. What it hears, a test says: `phone.hear([0.1, 0.8])` are levels from 0 to 1, a frame each.

const SAMPLE_RATE = 16_000;
const SAMPLES = 1600; // a frame of 100 ms
const MP3_BYTES = 417;
const MP3_FRAMES = 4; // in a tenth of a second
const EVENTS = ['Start', 'Pause', 'Resume', 'Stop', 'FrameRecorded', 'Error', 'InterruptionBegin', 'InterruptionEnd'];

export function addRecorder({ phone, define, defineSync, privacy }) {
  let recording = null;
  let count = 0;
  const emit = (name, value) => phone.emit(`Recorder${name}`, value);

  async function allowed() {
    await privacy.require();
    if (phone.faults.denyRecord) phone.authorized['scope.record'] = false;
    phone.authorized['scope.record'] ??= true;
    return phone.authorized['scope.record'];
  }

  define('authorize', async ({ scope }) => {
    if (scope !== 'scope.record') return;
    if (!(await allowed())) throw new Error('auth deny');
  });

  const manager = {
    async start(options = {}) {
      phone.record('RecorderManager.start', options);
      try {
        if (!(await allowed())) throw new Error('auth deny');
      } catch (fault) {
        emit('Error', { errMsg: `operateRecorder:fail ${fault.message}` });
        return;
      }
      if (phone.faults.recorderFails || phone.settings.preview) {
        emit('Error', { errMsg: `operateRecorder:fail ${phone.faults.recorderFails || '预览里没有麦克风'}` });
        return;
      }
      if (recording) {
        emit('Error', { errMsg: 'operateRecorder:fail is recording or paused' });
        return;
      }
      const { format = 'aac', duration = 60_000, frameSize } = options;
      recording = { format, frameSize, began: Date.now(), frames: [] };
      recording.timer = setTimeout(() => manager.stop(), duration);
      emit('Start');
    },
    stop() {
      phone.record('RecorderManager.stop', {});
      if (!recording) {
        emit('Error', { errMsg: 'operateRecorder:fail recorder not start' });
        return;
      }
      const { format, began, timer, frames, frameSize } = recording;
      clearTimeout(timer);
      recording = null;
      count += 1;
      const tempFilePath = `http://tmp/recording-${count}.${format.toLowerCase()}`;
      const bytes = fileOf(format, frames);
      phone.files[tempFilePath] = bytes;
      if (frameSize) emit('FrameRecorded', { frameBuffer: new ArrayBuffer(0), isLastFrame: true });
      setTimeout(() => emit('Stop', { tempFilePath, duration: Date.now() - began, fileSize: bytes.length }));
    },
    pause: () => emit('Pause'),
    resume: () => emit('Resume'),
  };
  for (const name of EVENTS) {
    // The recorder is one for all, and a new listener takes the place of the one before.
    manager[`on${name}`] = (listener) => {
      phone.off(`Recorder${name}`);
      phone.on(`Recorder${name}`, listener);
    };
  }

  phone.hear = (levels) => {
    for (const level of levels) {
      if (!recording) return;
      const samples = Int16Array.from({ length: SAMPLES }, (_, at) => Math.round(level * 32_767 * Math.sin(at / 5)));
      recording.frames.push({ samples, level });
      const { format, frameSize } = recording;
      const frameBuffer = /pcm|wav/i.test(format) ? samples.buffer : mp3Frame(level).buffer;
      if (frameSize) emit('FrameRecorded', { frameBuffer, isLastFrame: false });
    }
  };
  defineSync('getRecorderManager', () => manager);
}

/** A frame of MPEG-1 layer III, mono, 128 kbit/s; how loud it is stands in its `global_gain` (ISO 11172-3, 2.4.1.7). */
function mp3Frame(level) {
  const bytes = new Uint8Array(MP3_BYTES);
  bytes.set([0xff, 0xfb, 0x90, 0xc0]);
  const gain = Math.round(110 + level * 90);
  const at = 32 + 18 + 12 + 9; // bits: header, what comes before a granule, part2_3_length, big_values
  bytes[at >> 3] = gain >> (at & 7);
  bytes[(at >> 3) + 1] = (gain << (8 - (at & 7))) & 0xff;
  return bytes;
}

/** What lies in the temporary file, playable as its format says. */
function fileOf(format, frames) {
  return /wav|pcm/i.test(format) ? wav(frames) : mp3(frames);
}

function mp3(frames) {
  const levels = frames.length ? frames.map(({ level }) => level) : [0];
  const parts = levels.flatMap((level) => Array.from({ length: MP3_FRAMES }, () => mp3Frame(level)));
  const bytes = new Uint8Array(parts.length * MP3_BYTES);
  parts.forEach((part, index) => bytes.set(part, index * MP3_BYTES));
  return bytes;
}

function wav(frames) {
  const size = frames.length * SAMPLES * 2;
  const bytes = new Uint8Array(44 + size);
  const view = new DataView(bytes.buffer);
  const ascii = (at, text) => [...text].forEach((char, index) => view.setUint8(at + index, char.charCodeAt(0)));
  ascii(0, 'RIFF');
  view.setUint32(4, 36 + size, true);
  ascii(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // mono
  view.setUint32(24, SAMPLE_RATE, true);
  view.setUint32(28, SAMPLE_RATE * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  ascii(36, 'data');
  view.setUint32(40, size, true);
  frames.forEach(({ samples }, index) => bytes.set(new Uint8Array(samples.buffer), 44 + index * SAMPLES * 2));
  return bytes;
}
