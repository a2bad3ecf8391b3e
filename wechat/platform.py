"""The client of api.weixin.qq.com, for one account.

It speaks to the desk simulator just as well: only `base_url` differs. What it raises are the engine's own errors, or
`PlatformError` where only the caller can know what an errcode means. No secret leaves this module: not in an error,
not in a log line, not in a `repr`.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter

from core.database import Database
from core.errors import Busy, ChatError, InvalidCode, NotConfigured, UserBlocked
from wechat.access_token import AccessToken, NoToken

log = logging.getLogger(__name__)

POOL_SIZE = 64
RETRY_PAUSE_SECONDS = 0.2

SYSTEM_BUSY = -1
TOKEN_ERRORS = (40001, 40014, 42001)  # the access token is not, or no longer, good

# What the errcodes of a login mean to the one who logs in; every other one means: not now.
LOGIN_ERRORS: dict[int | None, type[ChatError]] = {
    40029: InvalidCode,  # invalid code, or an expired one
    40163: InvalidCode,  # code been used
    41008: InvalidCode,  # missing code
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

    def __init__(
        self,
        base_url: str,
        *,
        appid: str,
        secret: str,
        timeout: tuple[float, float] = (3, 5),
        database: Database | None = None,
        open_api: bool = False,
    ) -> None:
        """With a `database` it can make calls that need an access token, which is kept there.

        `open_api`: on WeChat cloud hosting calls go out without a token, and the platform adds who we are.
        """
        self._base_url = base_url.rstrip("/")
        self._open_api = open_api
        self._token = AccessToken(database, appid, self._fetch_token) if database is not None else None
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
            raise InvalidCode("that is no js_code")
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

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        timeout: tuple[float, float] | None = None,
    ) -> dict[str, Any]:
        """A call in the account's name; once more with a new access token where WeChat does not take ours.

        Raises PlatformError.
        """
        return _object(self._authorised(method, path, {}, body, timeout), path, self._redacted)

    def download(self, path: str, query: dict[str, str], limit: int) -> bytes:
        """A file of at most so many bytes; raises PlatformError."""
        data = self._authorised("GET", path, query, None, None, limit)
        if data[:1] == b"{":  # a refusal comes as JSON, with status 200
            _object(data, path, self._redacted)
            raise PlatformError(None, f"{path} gave no file")
        return data

    def _authorised(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: dict[str, Any] | None,
        timeout: tuple[float, float] | None,
        limit: int = 1 << 20,
    ) -> bytes:
        if self._open_api:
            return self._fetch_bytes(method, path, query, body, timeout, limit)
        token = self._access_token()
        data = self._fetch_bytes(method, path, query | {"access_token": token}, body, timeout, limit)
        if _errcode(data) not in TOKEN_ERRORS:
            return data
        fresh = self._access_token(instead_of=token)
        return self._fetch_bytes(method, path, query | {"access_token": fresh}, body, timeout, limit)

    def _access_token(self, instead_of: str = "") -> str:
        if self._token is None or not (self._appid and self._secret):
            raise PlatformError(None, "no AppID or no AppSecret")
        try:
            if not instead_of:
                return self._token.get()
            fresh = self._token.replace(instead_of)
            # Asked gently WeChat may give the same one again, for it is good as far as it knows.
            return fresh if fresh != instead_of else self._token.replace(instead_of, force=True)
        except NoToken as fault:
            raise PlatformError(None, str(fault)) from None

    def _fetch_token(self, force: bool) -> tuple[str, int]:
        body = {"grant_type": "client_credential", "appid": self._appid, "secret": self._secret}
        path = "/cgi-bin/stable_token"
        answer = _object(
            self._fetch_bytes("POST", path, {}, body | {"force_refresh": force}, None, 1 << 16), path, self._redacted
        )
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not (isinstance(token, str) and token and isinstance(seconds, int)):
            raise PlatformError(None, "stable_token answered without a token")
        return token, seconds

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
        return _object(self._fetch_bytes(method, path, query, None, None, 1 << 20), path, self._redacted)

    def _fetch_bytes(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: dict[str, Any] | None,
        timeout: tuple[float, float] | None,
        limit: int,
    ) -> bytes:
        """The body of an answer with status 200."""
        problem, data = "", b""
        try:
            with self._http.request(
                method,
                self._base_url + path,
                params=query,
                data=orjson.dumps(body) if body is not None else None,  # UTF-8: WeChat would show \\u4f60 as it is
                headers={"Content-Type": "application/json"} if body is not None else None,
                timeout=timeout or self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code != 200:
                    problem = f"HTTP {response.status_code}"
                else:
                    for piece in response.iter_content(65536):
                        data += piece
                        if len(data) > limit:
                            problem = "too large"
                            break
        except requests.RequestException as error:
            problem = type(error).__name__  # its text and its request contain the secret
        # Raised out here, an error has no __context__ that would carry the request along.
        if problem:
            raise PlatformError(None, f"no usable answer from {path}: {problem}")
        return data

    def _redacted(self, text: str) -> str:
        return text[:200].replace(self._secret, "***") if self._secret else text[:200]


def _object(data: bytes, path: str, redacted: Callable[[str], str]) -> dict[str, Any]:
    """What WeChat answered; raises PlatformError. It says JSON as text/plain, and failures with status 200."""
    problem, answer = "", None
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError:
        problem = "not JSON"
    if not isinstance(answer, dict):
        raise PlatformError(None, f"no usable answer from {path}: {problem or 'not an object'}")
    errcode = answer.get("errcode", 0)
    if errcode != 0:
        if not isinstance(errcode, int):
            raise PlatformError(None, f"no usable answer from {path}: an odd errcode")
        raise PlatformError(errcode, redacted(str(answer.get("errmsg", ""))))
    return answer


def _errcode(data: bytes) -> int | None:
    """Of a refusal; None where it is none."""
    if data[:1] != b"{":
        return None
    try:
        found = orjson.loads(data).get("errcode")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, int) else None


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
