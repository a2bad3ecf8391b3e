/** The one place that says where the server is. */
module.exports = {
  // In DevTools the default reaches a server on the same machine ("不校验合法域名" is on in project.config.json).
  // For phones: an https address that is entered as request and uploadFile domain at mp.weixin.qq.com.
  baseUrl: 'http://127.0.0.1:8000',

  // WeChat cloud hosting instead of a domain of one's own: fill in both and baseUrl is not used.
  // Calls then go through wx.cloud.callContainer, which cannot stream: answers are polled.
  cloudEnv: '',
  cloudService: '',
};
