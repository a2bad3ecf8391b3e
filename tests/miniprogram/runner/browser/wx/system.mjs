// The device and WeChat's own settings.

export function addSystem({ phone, program, wx, define, defineSync, defineEvent }) {
  const tall = innerHeight > 700; // a phone without a home button: its camera and its home bar take some room
  const status = tall ? 47 : 20;
  const capsule = status + 4;
  const bar = () => (phone.bar?.custom ? 0 : status + 44);
  const inset = () => (tall && phone.faults.platform === 'ios' ? 34 : 0);
  const theme = () => (program.app.darkmode ? { theme: phone.darkNow() ? 'dark' : 'light' } : {});

  const windowInfo = () => ({
    pixelRatio: devicePixelRatio,
    windowWidth: innerWidth,
    windowHeight: innerHeight,
    screenWidth: innerWidth,
    screenHeight: innerHeight + bar(),
    statusBarHeight: status,
    screenTop: bar(),
    safeArea: {
      left: 0, right: innerWidth, width: innerWidth,
      top: status, bottom: innerHeight + bar() - inset(), height: innerHeight + bar() - inset() - status,
    },
  });
  const deviceInfo = () => ({
    brand: 'iPhone', model: 'iPhone 14', system: phone.faults.system, platform: phone.faults.platform, memorySize: 4096,
    benchmarkLevel: 40,
  });
  const baseInfo = () => ({
    SDKVersion: phone.faults.sdk, version: '8.0.50', language: 'zh_CN', host: { env: 'WeChat' },
    fontSizeSetting: phone.faults.fontSize, enableDebug: false, ...theme(),
  });
  const everything = () => ({ ...windowInfo(), ...deviceInfo(), ...baseInfo() });

  defineSync('getWindowInfo', windowInfo);
  defineSync('getDeviceInfo', deviceInfo);
  defineSync('getAppBaseInfo', baseInfo);
  defineSync('getSystemInfoSync', everything);
  defineSync('getSystemSetting', () => ({ bluetoothEnabled: false, locationEnabled: false, wifiEnabled: true }));
  defineSync('getAppAuthorizeSetting', () => ({ microphoneAuthorized: phone.faults.denyRecord ? 'denied' : 'authorized' }));
  define('getSystemInfo', everything);
  define('openAppAuthorizeSetting', () => {});
  defineEvent('ThemeChange');
  defineEvent('WindowResize');
  defineEvent('MemoryWarning');

  wx.canIUse = (schema) => {
    const [name] = schema.split('.');
    if (phone.faults.noChunked && /onChunkReceived|enableChunked/.test(schema)) return false;
    return name in wx || /^(button|input|textarea|scroll-view|text|view|page-meta)$/.test(name);
  };
  document.documentElement.style.setProperty('--capsule-top', `${capsule}px`);
  wx.getMenuButtonBoundingClientRect = () => ({
    width: 87, height: 32, top: capsule, bottom: capsule + 32, left: innerWidth - 94, right: innerWidth - 7,
  });
  wx.getUpdateManager = () => ({
    onCheckForUpdate() {}, onUpdateReady: (listener) => phone.on('UpdateReady', listener), onUpdateFailed() {},
    applyUpdate: () => phone.record('applyUpdate', {}),
  });
  const log = () => ({ debug() {}, info() {}, log() {}, warn() {}, error() {}, setFilterMsg() {}, addFilterMsg() {} });
  wx.getLogManager = log;
  wx.getRealtimeLogManager = log;
  wx.reportEvent = () => {};
  wx.reportMonitor = () => {};
  wx.env = { USER_DATA_PATH: 'http://usr' };
  wx.getFileSystemManager = () => ({
    readFile({ filePath, encoding, success, fail }) {
      const bytes = phone.files[filePath];
      setTimeout(() => {
        if (!bytes) fail?.({ errMsg: `readFile:fail no such file or directory, open ${filePath}` });
        else success?.({ data: encoding ? new TextDecoder().decode(bytes) : bytes.slice().buffer, errMsg: 'readFile:ok' });
      });
    },
  });
}
