"""What followers see, and what may be sent to them when: the chats of the official account."""

import itertools
from collections import deque
from dataclasses import dataclass, field
from threading import RLock

from wechat.simulator.account import Account
from wechat.simulator.errors import Refused

MESSAGE_WINDOW = (5, 48 * 3600.0)  # customer-service messages, and for how long
ACTION_WINDOW = (3, 60.0)  # after a menu, a scan or a subscription
TYPING_SECONDS, TYPING_WINDOW = 15.0, 30.0
MOST_BYTES = 2048
SHOWN = 500


@dataclass(frozen=True)
class Line:
    """One entry of a chat. `who`: me (the follower), them (the account), notice."""

    number: int
    who: str
    text: str
    at: float
    way: str = ""  # passive, pushed
    ai: bool = False  # WeChat adds its own label


@dataclass
class _Window:
    ends: float
    left: int


@dataclass
class Chat:
    openid: str
    follows: bool = True
    human: bool = False
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=SHOWN))
    windows: list[_Window] = field(default_factory=list)
    acted: float = float("-inf")
    typing_until: float = float("-inf")
    sent: int = 0


class Chats:
    def __init__(self) -> None:
        self._lock = RLock()
        self._chats: dict[str, Chat] = {}
        self._numbers = itertools.count(1)

    def of(self, openid: str) -> Chat:
        with self._lock:
            return self._chats.setdefault(openid, Chat(openid))

    def known(self, openid: str) -> bool:
        return openid in self._chats

    def add(self, openid: str, who: str, text: str, at: float, way: str = "", ai: bool = False) -> None:
        with self._lock:
            chat = self.of(openid)
            chat.lines.append(Line(next(self._numbers), who, text, at, way, ai))
            if who == "them":
                chat.typing_until = float("-inf")

    def after(self, openid: str, number: int) -> list[Line]:
        with self._lock:
            return [line for line in self.of(openid).lines if line.number > number]

    # When what may be sent

    def acts(self, openid: str, now: float, account: Account, *, message: bool) -> None:
        """The follower did something that opens a window."""
        with self._lock:
            chat = self.of(openid)
            chat.acted = now
            count, seconds = MESSAGE_WINDOW if message else ACTION_WINDOW
            chat.windows = [window for window in chat.windows if window.ends > now]
            if message and chat.windows and not account.counts_reset:
                return
            if message:
                chat.windows = [window for window in chat.windows if window.ends <= now + ACTION_WINDOW[1]]
            chat.windows.append(_Window(now + seconds, count))

    def send(self, openid: str, text: str, now: float, ai: bool) -> None:
        """A customer-service message; raises Refused."""
        with self._lock:
            chat = self._open(openid, now)
            window = next((one for one in chat.windows if one.left > 0), None)
            if window is None:
                raise Refused(45047)
            if len(text.encode()) > MOST_BYTES:
                raise Refused(45002)
            window.left -= 1
            chat.sent += 1
            self.add(openid, "them", text, now, "pushed", ai)

    def type(self, openid: str, now: float, command: str) -> None:
        """Show or end 对方正在输入; raises Refused."""
        with self._lock:
            chat = self._open(openid, now)
            if command == "CancelTyping":
                chat.typing_until = float("-inf")
                return
            if command != "Typing":
                raise Refused(45072)
            if now - chat.acted > TYPING_WINDOW:
                raise Refused(45080)
            if chat.typing_until > now:
                raise Refused(45081)
            chat.typing_until = now + TYPING_SECONDS

    def _open(self, openid: str, now: float) -> Chat:
        if openid not in self._chats:
            raise Refused(40003)
        chat = self._chats[openid]
        if not chat.follows:
            raise Refused(43004)
        chat.windows = [window for window in chat.windows if window.ends > now]
        if not chat.windows:
            raise Refused(45015)
        return chat
