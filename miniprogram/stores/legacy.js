/** Histories the tutorial's mini-program left on the phone: `[{role: 'user' | 'ai' | 'assistant', content}, …]`. */

const { makeTurn } = require('./turn');

/**
 * @param {any} kept what lay under the storage key
 * @returns {import('./turn').Turn[]} nothing of it is lost; a question without an answer can be sent again
 */
function takeOver(kept) {
  const messages = Array.isArray(kept) ? kept : kept && Array.isArray(kept.messages) ? kept.messages : [];
  /** @type {import('./turn').Turn[]} */
  const turns = [];
  messages.forEach((message) => {
    if (!message || typeof message !== 'object') return;
    const text = String(message.content || message.text || '');
    if (!text) return;
    const last = turns[turns.length - 1];
    if (message.role === 'user') turns.push(makeTurn({ question: text, status: 'unsent' }));
    else if (last && last.status === 'unsent') Object.assign(last, { reply: text, status: 'done' });
    else turns.push(makeTurn({ reply: text }));
  });
  // An old question in the middle without an answer is history, only the last one still waits.
  turns.slice(0, -1).forEach((turn) => {
    turn.status = 'done';
  });
  return turns;
}

module.exports = { takeOver };
