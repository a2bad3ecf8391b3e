/** What the chat shows of `/api/me`; everything has something to show without it. */

const { AI_LABEL } = require('../../utils/wording');

/** @param {import('../../services/account').Me | null} me */
function offerOf(me) {
  const known = me || /** @type {Partial<import('../../services/account').Me>} */ ({});
  const features = known.features || {};
  return {
    title: known.brand_name || 'AI 助手',
    notice: (known.model && known.model.notice) || '',
    welcome: known.welcome || '你好，有什么可以帮你？',
    suggestions: known.suggestions || /** @type {string[]} */ ([]),
    label: known.ai_label || AI_LABEL,
    canThink: !!features.thinking,
    canTalk: !!features.voice,
    most: known.max_question_chars || 2000,
  };
}

module.exports = { offerOf };
