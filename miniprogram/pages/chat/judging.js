/** What users think of an answer: up, down with a reason, a complaint. */

const { ApiError } = require('../../services/errors');
const history = require('../../stores/history');
const turns = require('../../services/turns');
const { BAD_NETWORK } = require('../../utils/wording');

const REASONS = {
  down: { title: '哪里不好？', reasons: ['内容不准确', '没有帮助', '答非所问', '太长或太短'] },
  report: { title: '举报这条回答', reasons: ['违法有害', '侵犯权益', '色情低俗', '泄露隐私', '虚假误导'] },
};

class Judging {
  /**
   * @param {{setData: (patch: any) => void}} page shows `asking`, `question` and `reasons`
   * @param {InstanceType<typeof import('../../stores/thread').Thread>} thread
   */
  constructor(page, thread) {
    this.page = page;
    this.thread = thread;
    this.key = '';
    this.kind = '';
  }

  /** @param {{key: string, rating: 'up' | 'down' | null}} detail */
  rate({ key, rating }) {
    this.save(key, rating).catch(excuse);
    if (rating === 'down') this.ask('down', key);
  }

  /** Shown at once, taken back if the server does not take it. @param {string} [reason] */
  async save(key, rating, reason) {
    const turn = this.thread.find(key);
    if (!turn) return;
    const before = turn.rating;
    const show = (value) => {
      turn.rating = value || '';
      this.thread.onChange(true);
    };
    show(rating);
    try {
      await turns.rate(turn.turnId, rating, reason);
      history.save();
    } catch (error) {
      show(before);
      throw error;
    }
  }

  /** Ask for a reason. @param {'down' | 'report'} kind @param {string} key */
  ask(kind, key) {
    Object.assign(this, { kind, key });
    this.page.setData({ asking: true, question: REASONS[kind].title, reasons: REASONS[kind].reasons });
  }

  close() {
    this.page.setData({ asking: false });
  }

  /** @param {string} reason */
  async give(reason) {
    const { key, kind } = this;
    this.close();
    try {
      const turn = this.thread.find(key);
      if (kind === 'report' && turn) thank('举报已收到', (await turns.report(turn.turnId, reason)).receipt);
      else if (turn) {
        await this.save(key, 'down', reason);
        wx.showToast({ title: '谢谢你的反馈', icon: 'none' });
      }
    } catch (error) {
      excuse(error);
    }
  }
}

/** @param {string} title @param {string} receipt the number it can be asked about */
function thank(title, receipt) {
  const number = receipt ? `受理编号 ${receipt}。` : '';
  return wx.showModal({ title, content: `${number}工作人员会尽快核实处理。`, showCancel: false, confirmText: '知道了' });
}

function excuse(error) {
  wx.showToast({ title: error instanceof ApiError ? error.detail : BAD_NETWORK, icon: 'none', duration: 2500 });
}

module.exports = { Judging, excuse };
