/** What people read when something does not work. The server's own sentence (`detail`) comes first where there is one. */

const BAD_NETWORK = '网络好像不太给力,请稍后再试';
const RESUMING = '网络中断，正在恢复…';
const AI_LABEL = '内容由 AI 生成';

/** @type {Record<string, string>} for answers that ended before we looked: then only the code is known */
const SENTENCES = {
  content_blocked: '这个问题我不方便回答，换个问题试试吧。',
  quota_exceeded: '今天的提问次数用完了，明天再来。',
  user_blocked: '你暂时不能使用这项服务，如有疑问请联系我们。',
  busy: '现在问的人有点多，请稍后再试。',
  model_error: '解析 AI 响应时出错，请稍后再问一次。',
  model_timeout: '无法连接 AI 服务：等待超时，请稍后再问一次。',
  model_unavailable: '无法连接 AI 服务，请稍后再问一次。',
  not_found: '没有找到，可能已经删除了。',
  not_configured: '服务器还没有配置这项功能。',
  unauthorized: '登录没有成功，请稍后再试。',
  internal: '服务器内部错误，请稍后再试。',
};

/** @param {string} code */
function sentenceOf(code) {
  return SENTENCES[code] || '没有答成，请再试一次。';
}

/** Text as it leaves the app: AI text carries its label wherever it goes. */
function labelled(text, label) {
  return `${text}\n\n（${label || AI_LABEL}）`;
}

module.exports = { AI_LABEL, BAD_NETWORK, RESUMING, labelled, sentenceOf };
