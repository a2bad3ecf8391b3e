/** What can go wrong between us and the server. */

/** The server answered, and the answer was no: `code` is stable, `detail` is a sentence for people. */
class ApiError extends Error {
  /** @param {{status: number, code: string, detail: string, retryAfter?: number}} problem */
  constructor(problem) {
    super(`${problem.status} ${problem.code}`);
    this.name = 'ApiError';
    this.status = problem.status;
    this.code = problem.code;
    this.detail = problem.detail;
    this.retryAfter = problem.retryAfter || 0;
  }
}

/** No answer came: nobody knows whether the server got the request. */
class NetworkError extends Error {
  /** @param {string} reason WeChat's errMsg */
  constructor(reason) {
    super(reason);
    this.name = 'NetworkError';
  }
}

module.exports = { ApiError, NetworkError };
