"""The platform's side of the callback: deliveries with the five-second rule, and what comes of them."""

import itertools
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from wechat.envelope import Cipher, sign
from wechat.messages import cdata
from wechat.simulator.account import Account
from wechat.simulator.judge import Verdict, judge, opened
from wechat.simulator.wire import exchange

FAILURE = "该公众号提供的服务出现故障，请稍后再试"
OVERLAP = 0.2  # of the line's time, by which a message is delivered again too soon
AT_ONCE_SECONDS = 0.05
REMEMBERED = 2000
MUTE_LOOK_SECONDS, MUTE_SECONDS = 300.0, 60.0


@dataclass
class Attempt:
    """One delivery of a message. `end` None: under way."""

    number: int
    began: float
    request: str  # as it can be read
    wire: str  # as it travels
    sent: float = 0.0  # when the request was on its way
    end: float | None = None
    status: int | None = None
    reply: str = ""
    opened: str = ""  # the reply, decrypted
    outcome: str = ""  # answered, timeout, closed, refused, http <status>, lost

    @property
    def took(self) -> float:
        """Seconds from the request to its end."""
        return (self.end or self.sent) - self.sent


@dataclass
class Message:
    """A message or an event, delivered until it is answered."""

    openid: str
    fields: dict[str, Any]
    sent: float = field(default_factory=time.monotonic)
    at: float = field(default_factory=time.time)
    attempts: list[Attempt] = field(default_factory=list)
    verdict: Verdict | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def text(self) -> str:
        """What the follower reads as the passive reply."""
        return self.verdict.text if self.verdict else ""


class Pushes:
    """Delivers messages; each in a thread of its own."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.messages: deque[Message] = deque(maxlen=REMEMBERED)
        self.muted_until = float("-inf")
        self._ids = itertools.count(24_000_000_000_000_000 + secrets.randbits(40))
        self._failures: deque[float] = deque()
        self._lock = threading.Lock()

    def send(self, openid: str, fields: Mapping[str, Any], *, wait: bool = False) -> Message:
        """Deliver a message (`MsgType`, `Content`, …) of a follower."""
        whole = {
            "ToUserName": self.account.name,
            "FromUserName": openid,
            "CreateTime": int(time.time()),
            **fields,
        }
        if whole["MsgType"] != "event":
            whole.setdefault("MsgId", next(self._ids))
        message = Message(openid, whole)
        self.messages.append(message)
        deliver = threading.Thread(target=self._deliver, args=(message,), daemon=True)
        deliver.start()
        if wait:
            message.done.wait(60)
        return message

    def verify(self, echostr: str) -> bytes:
        """What the console does when the address is saved; the body that comes back."""
        timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**9))
        query = {"signature": sign(self.account.token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
        return exchange("GET", self.account.callback, urlencode(query | {"echostr": echostr}), b"", "", 5.0).body

    def _deliver(self, message: Message) -> None:
        account = self.account
        try:
            if not account.callback:
                message.verdict = Verdict("nothing", why="switched off")
            elif time.monotonic() < self.muted_until:
                message.verdict = Verdict("failure", why="muted")
            else:
                message.verdict = self._attempts(message)
        finally:
            message.done.set()

    def _attempts(self, message: Message) -> Verdict:
        account = self.account
        request = WireRequest(account, message)
        verdicts: list[Verdict] = []
        beside: list[threading.Thread] = []
        for number in range(1, account.attempts + 1):
            attempt = Attempt(number, time.monotonic(), request.shown, request.body.decode())
            message.attempts.append(attempt)
            if account.overlap and number < account.attempts:
                args = (request, attempt, verdicts)
                beside.append(threading.Thread(target=self._attempt, args=args, daemon=True))
                beside[-1].start()
                beside[-1].join(account.cut_seconds * (1 - OVERLAP))
            else:
                self._attempt(request, attempt, verdicts)
            if verdicts:
                return verdicts[0]
            if attempt.end is not None and attempt.end - attempt.began < account.cut_seconds - 0.5:
                time.sleep(AT_ONCE_SECONDS)
        for thread in beside:
            thread.join(account.cut_seconds)
        return verdicts[0] if verdicts else Verdict("failure", why="never answered")

    def _attempt(self, request: "WireRequest", attempt: Attempt, verdicts: list[Verdict]) -> None:
        account = self.account
        time.sleep(account.slow_seconds)
        seconds = account.cut_seconds - account.slow_seconds
        answer = exchange(
            "POST", account.callback, request.query, request.body, request.content_type, seconds, request.headers
        )
        attempt.sent, attempt.end = answer.sent, answer.came
        if answer.failure:
            attempt.outcome = answer.failure
        else:
            attempt.status = answer.status
            attempt.reply = answer.body.decode("utf-8", "replace")
            attempt.opened = opened(answer.body, account)
            with self._lock:
                lost = account.lose_replies > 0
                account.lose_replies -= lost
            if lost:
                attempt.outcome = "lost"
                time.sleep(max(0.0, attempt.began + account.cut_seconds - time.monotonic()))
            elif attempt.status != 200:
                attempt.outcome = f"http {attempt.status}"
            else:
                attempt.outcome = "answered"
                verdicts.append(judge(answer.body, account, request.openid, request.nonce))
        if attempt.outcome != "answered":
            self._failed()

    def _failed(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._failures.append(now)
            while self._failures[0] < now - MUTE_LOOK_SECONDS:
                self._failures.popleft()
            if self.account.mute_after and len(self._failures) >= self.account.mute_after:
                self.muted_until = now + MUTE_SECONDS
                self._failures.clear()

    @property
    def failures(self) -> int:
        """Deliveries of the last five minutes that were not answered."""
        now = time.monotonic()
        with self._lock:
            return sum(at > now - MUTE_LOOK_SECONDS for at in self._failures)


class WireRequest:
    """A message as it is posted; the same bytes, timestamp and nonce every time."""

    def __init__(self, account: Account, message: Message) -> None:
        self.openid, self.nonce = message.openid, str(secrets.randbelow(10**10))
        timestamp = str(message.fields["CreateTime"])
        plain = _written(message.fields, account.form)
        self.shown = plain
        self.headers = {}
        if account.mode == "cloud":
            self.query = ""
            self.headers = {"X-WX-SOURCE": "wx_push", "X-WX-APPID": account.appid}
        else:
            query = {"signature": sign(account.token, timestamp, self.nonce), "timestamp": timestamp}
            query |= {"nonce": self.nonce, "openid": message.openid}
            if account.mode in ("compatible", "safe"):
                encrypted = Cipher(account.aes_key, account.appid).encrypt(plain.encode())
                outer = {"ToUserName": account.name, "Encrypt": encrypted}
                plain = _written(outer if account.mode == "safe" else message.fields | outer, account.form)
                signature = sign(account.token, timestamp, self.nonce, encrypted)
                query |= {"encrypt_type": "aes", "msg_signature": signature}
            self.query = urlencode(query)
        self.body = plain.encode()
        self.content_type = "text/xml" if account.form == "xml" else "application/json"


def _written(fields: Mapping[str, Any], form: str) -> str:
    if form == "json":
        return json.dumps(fields, ensure_ascii=False)
    return f"<xml>{_elements(fields)}</xml>"


def _elements(fields: Mapping[str, Any]) -> str:
    parts = []
    for name, value in fields.items():
        if isinstance(value, dict):
            parts.append(f"<{name}>{_elements(value)}</{name}>")
        elif isinstance(value, int):
            parts.append(f"<{name}>{value}</{name}>")
        else:
            parts.append(f"<{name}><![CDATA[{cdata(str(value))}]]></{name}>")
    return "".join(parts)
