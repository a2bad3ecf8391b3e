/** Times as people say them. */

const DAY = 86400000;
const two = (number) => (number < 10 ? `0${number}` : `${number}`);

/**
 * @param {number} then
 * @param {number} [now]
 * @returns {string} 09:30 · 昨天 09:30 · 3月5日 · 2025年3月5日
 */
function spoken(then, now = Date.now()) {
  const date = new Date(then);
  const today = new Date(now);
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
  const days = Math.round((startOfDay(today) - startOfDay(date)) / DAY);
  if (days <= 0) return clock;
  if (days === 1) return `昨天 ${clock}`;
  const day = `${date.getMonth() + 1}月${date.getDate()}日`;
  return date.getFullYear() === today.getFullYear() ? day : `${date.getFullYear()}年${day}`;
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** @returns {number} milliseconds; 0 for what is no time */
function parseTime(iso) {
  const time = Date.parse(iso);
  return time > 0 ? time : 0;
}

module.exports = { parseTime, spoken };
