"""The client of api.weixin.qq.com, for one account.

It speaks to the desk simulator just as well: only `base_url` differs. What it raises are the engine's own errors, or
`PlatformError` where only the caller can know what an errcode means. No secret leaves this module: not in an error,
not in a log line, not in a `repr`.
"""

import logging
import re
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter

from core.errors import Busy, ChatError, NotConfigured, Unauthorized, UserBlocked

log = logging.getLogger(__name__)

POOL_SIZE = 64
RETRY_PAUSE_SECONDS = 0.2

SYSTEM_BUSY = -1

# What the errcodes of a login mean to the one who logs in; every other one means: not now.
LOGIN_ERRORS: dict[int | None, type[ChatError]] = {
    40029: Unauthorized,  # invalid code, or an expired one
    40163: Unauthorized,  # code been used
    41008: Unauthorized,  # missing code
    40226: UserBlocked,  # WeChat holds the user for a fraud
    40013: NotConfigured,  # invalid appid
    40125: NotConfigured,  # invalid appsecret
    41002: NotConfigured,  # appid missing
    41004: NotConfigured,  # appsecret missing
}


class PlatformError(Exception):
    """WeChat refused with `errcode`; None if there was no usable answer at all."""

    def __init__(self, errcode: int | None, message: str) -> None:
        super().__init__(message if errcode is None else f"{errcode}: {message}")
        self.errcode = errcode


@dataclass(frozen=True, slots=True)
class WeChatSession:
    """Who logged in. The session_key is left out on purpose: nobody here needs it."""

    openid: str
    unionid: str | None = None


class WeChatPlatform:
    """One account (`appid`, `secret`) at the platform; safe to share between threads and greenlets."""

    def __init__(self, base_url: str, *, appid: str, secret: str, timeout: tuple[float, float] = (3, 5)) -> None:
        self._base_url = base_url.rstrip("/")
        self._appid = appid
        self._secret = secret
        self._timeout = timeout
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=POOL_SIZE)
        for scheme in ("https://", "http://"):
            self._http.mount(scheme, adapter)

    def close(self) -> None:
        self._http.close()

    def code2session(self, js_code: object) -> WeChatSession:
        """Trade the code of `wx.login`, which works once and for five minutes, for who the user is."""
        if not (isinstance(js_code, str) and re.fullmatch(r"[!-~]{1,128}", js_code)):
            raise Unauthorized("that is no js_code")
        if not (self._appid and self._secret):
            raise NotConfigured("no AppID or no AppSecret")
        query = {
            "appid": self._appid,
            "secret": self._secret,
            "js_code": js_code,
            "grant_type": "authorization_code",
        }
        try:
            answer = self._call("GET", "/sns/jscode2session", query)
        except PlatformError as error:
            raise _login_error(error) from error
        openid, unionid = answer.get("openid"), answer.get("unionid")
        if not (isinstance(openid, str) and openid):
            log.warning("jscode2session answered without an openid")
            raise Busy("jscode2session answered without an openid")
        return WeChatSession(openid, unionid if isinstance(unionid, str) and unionid else None)

    def _call(self, method: str, path: str, query: dict[str, str]) -> dict[str, Any]:
        """One call of the API; when WeChat says it is busy, one more."""
        try:
            return self._ask(method, path, query)
        except PlatformError as error:
            if error.errcode != SYSTEM_BUSY:
                raise
        time.sleep(RETRY_PAUSE_SECONDS)
        return self._ask(method, path, query)

    def _ask(self, method: str, path: str, query: dict[str, str]) -> dict[str, Any]:
        # WeChat answers JSON as text/plain, and failures with status 200: the body alone tells.
        problem, answer = "", None
        try:
            response = self._http.request(
                method, self._base_url + path, params=query, timeout=self._timeout, allow_redirects=False
            )
            if response.status_code == 200:
                answer = orjson.loads(response.content)
            else:
                problem = f"HTTP {response.status_code}"
        except requests.RequestException as error:
            problem = type(error).__name__  # its text and its request contain the secret
        except orjson.JSONDecodeError:
            problem = "not JSON"
        # Raised out here, an error has no __context__ that would carry the request along.
        if not isinstance(answer, dict):
            raise PlatformError(None, f"no usable answer from {path}: {problem or 'not an object'}")
        errcode = answer.get("errcode", 0)
        if errcode != 0:
            if not isinstance(errcode, int):
                raise PlatformError(None, f"no usable answer from {path}: an odd errcode")
            raise PlatformError(errcode, self._redacted(str(answer.get("errmsg", ""))))
        return answer

    def _redacted(self, text: str) -> str:
        return text[:200].replace(self._secret, "***") if self._secret else text[:200]


def _login_error(error: PlatformError) -> ChatError:
    kind = LOGIN_ERRORS.get(error.errcode, Busy)
    if kind is NotConfigured:
        log.error("WeChat refuses our AppID or AppSecret: %s", error)
    elif kind is Busy:
        log.warning("logging in is not possible at the moment: %s", error)
    return kind(f"jscode2session: {error}")


def _redact(record: logging.LogRecord) -> bool:
    """urllib3 logs whole URLs, at DEBUG as a habit and at WARNING after a bad header; ours carry secrets."""
    text = record.getMessage()
    record.msg, record.args = re.sub(r"\b(secret|access_token|js_code)=[^&\s\"')]+", r"\1=***", text), ()
    return True


logging.getLogger("urllib3.connectionpool").addFilter(_redact)
