"""What WeChat remembers. Threads may share one World: whatever looks at its state or changes it holds the lock."""

import base64
import math
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock

from wechat.simulator.errors import Refused

CODE_SECONDS = 300
CODES_REMEMBERED = 1000
TOKEN_SECONDS = 7200
OVERLAP_SECONDS = 300  # this long before its end a token is renewed, and this long the old one still works
DAY_SECONDS = 86400
FORCED_PER_DAY = 20
FORCED_EVERY_SECONDS = 30


@dataclass(slots=True)
class Code:
    """What `wx.login` gives to a page: one trade, within five minutes."""

    code: str
    appid: str
    openid: str
    unionid: str | None
    issued: float
    used: bool = False


@dataclass(slots=True)
class Token:
    token: str
    appid: str
    expires: float
    replaced: float = math.inf  # from then on a newer one counts


@dataclass(slots=True)
class Fault:
    """The next `times` requests to `path` wait `delay` seconds; then, if one is named, they meet a failure."""

    path: str
    times: int = 1
    delay: float = 0
    errcode: int | None = None
    http_status: int | None = None
    html: bool = False
    drop: bool = False  # the connection is closed without an answer


class World:
    def __init__(self, accounts: Mapping[str, str]) -> None:
        self.accounts = dict(accounts)
        self._lock = RLock()
        self._ahead = 0.0
        self._codes: dict[str, Code] = {}
        self._tokens: dict[str, Token] = {}
        self._latest: dict[tuple[str, bool], Token] = {}  # by appid, and whether it is the stable one
        self._forced: dict[str, deque[float]] = {}
        self._faults: list[Fault] = []
        self.logins: dict[tuple[str, str], float] = {}  # appid and openid, and when they last came

    # The clock

    def now(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> float:
        with self._lock:
            self._ahead += seconds
            return self.now()

    # Logging in

    def login(self, appid: str, openid: str | None = None, unionid: str | None = None) -> Code:
        """What the phone does at `wx.login`; without an openid somebody new comes along."""
        openid = openid or "o" + secrets.token_urlsafe(20)[:27]
        code = Code("0" + secrets.token_urlsafe(23)[:31], appid, openid, unionid, self.now())
        with self._lock:
            self._codes[code.code] = code
            if len(self._codes) > CODES_REMEMBERED:
                del self._codes[next(iter(self._codes))]
        return code

    def recent(self, count: int) -> list[Code]:
        """The codes issued last, newest first."""
        with self._lock:
            return list(self._codes.values())[: -count - 1 : -1]

    def expired(self, code: Code) -> bool:
        return self.now() >= code.issued + CODE_SECONDS

    def trade(self, appid: str, secret: str, js_code: str) -> dict[str, str]:
        """jscode2session."""
        self._check_account(appid, secret)
        if not js_code:
            raise Refused(41008)
        with self._lock:
            code = self._codes.get(js_code)
            if code is None or code.appid != appid or self.expired(code):
                raise Refused(40029)
            if code.used:
                raise Refused(40163)
            code.used = True
            self.logins[appid, code.openid] = self.now()
        session_key = base64.b64encode(secrets.token_bytes(16)).decode()
        session = {"session_key": session_key, "openid": code.openid}
        return session | {"unionid": code.unionid} if code.unionid else session

    # Access tokens

    def token(self, appid: str, secret: str) -> dict[str, object]:
        """A new token each time; the one before works for five more minutes."""
        self._check_account(appid, secret)
        with self._lock:
            return self._told(self._renew(appid, stable=False, overlap=OVERLAP_SECONDS))

    def stable_token(self, appid: str, secret: str, force: bool) -> dict[str, object]:
        """The same token while it is good for more than five minutes; forced, a new one, and the old one is dead."""
        self._check_account(appid, secret)
        with self._lock:
            latest = self._latest.get((appid, True))
            if force:
                self._count_forced(appid)
                return self._told(self._renew(appid, stable=True, overlap=0))
            if latest is None or self.now() >= latest.expires - OVERLAP_SECONDS:
                latest = self._renew(appid, stable=True, overlap=OVERLAP_SECONDS)
            return self._told(latest)

    def account_of(self, token: str) -> str:
        """The appid whose access token this is."""
        if not token:
            raise Refused(41001)
        with self._lock:
            known, now = self._tokens.get(token), self.now()
            if known is None or now >= known.replaced:
                raise Refused(40001)
            if now >= known.expires:
                raise Refused(42001)
            return known.appid

    def _renew(self, appid: str, *, stable: bool, overlap: float) -> Token:
        now = self.now()
        if old := self._latest.get((appid, stable)):
            old.replaced = now + overlap
        new = Token("99_" + secrets.token_urlsafe(100), appid, now + TOKEN_SECONDS)
        self._latest[appid, stable] = self._tokens[new.token] = new
        return new

    def _told(self, token: Token) -> dict[str, object]:
        return {"access_token": token.token, "expires_in": round(token.expires - self.now())}

    def _count_forced(self, appid: str) -> None:
        now, times = self.now(), self._forced.setdefault(appid, deque(maxlen=FORCED_PER_DAY))
        if len(times) == FORCED_PER_DAY and now < times[0] + DAY_SECONDS:
            raise Refused(45009)
        if times and now < times[-1] + FORCED_EVERY_SECONDS:
            raise Refused(45011)
        times.append(now)

    def _check_account(self, appid: str, secret: str) -> None:
        if not appid:
            raise Refused(41002)
        if appid not in self.accounts:
            raise Refused(40013)
        if not secret:
            raise Refused(41004)
        if secret != self.accounts[appid]:
            raise Refused(40125)

    # Faults

    def inject(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def mend(self) -> None:
        with self._lock:
            self._faults.clear()

    def fault_for(self, path: str) -> Fault | None:
        """The fault this request meets, counted."""
        with self._lock:
            fault = next((each for each in self._faults if each.path == path), None)
            if fault:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
            return fault
