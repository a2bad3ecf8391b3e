"""Phones of followers, the desk simulator between them and us, and our api processes behind it.

The times are shorter than WeChat's, in proportion: the line is closed after 1.5 s instead of 5, and our replies are
decided 1 s after a message came.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.settings import SIMULATOR_APPID, SIMULATOR_OFFICIAL_APPID, SIMULATOR_SECRET
from tests.house import House, housing
from tests.loopback import serving
from tests.server import wait_until
from wechat.simulator.account import Account
from wechat.simulator.app import create_simulator
from wechat.simulator.chats import Line
from wechat.simulator.official import Official
from wechat.simulator.pushes import Message

KEY, TOKEN = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "t0kenOfTheTests"
CUT, REPLY = 1.5, 1.0
LABEL = "（内容由 AI 生成）"
NOTES = re.compile(r"（(?:内容由 AI 生成|完|还有约|还在写|上一条|还有一条)[^（）]*）|【关于[^】]*】\n?")


class Phone:
    """Somebody who follows the account."""

    def __init__(self, official: Official) -> None:
        self.openid = "o" + secrets.token_hex(13)
        self._official = official
        self._seen = 0

    def say(self, text: str, **fields: Any) -> Message:
        """Type a text and wait until WeChat has an answer or gives up; the passive reply is `.text`."""
        return self._over(self._official.say(self.openid, text, **fields))

    def start(self, text: str) -> Message:
        """Type a text and wait for nothing."""
        return self._official.say(self.openid, text)

    def event(self, event: str, key: str = "", **fields: Any) -> Message:
        return self._over(self._official.event(self.openid, event, key, **fields))

    def send(self, fields: dict[str, Any]) -> Message:
        return self._over(self._official.message(self.openid, fields, "…"))

    def voice(self, data: bytes, **more: Any) -> Message:
        return self._over(self._official.voice(self.openid, data, **more))

    def news(self) -> list[Line]:
        """What has come since the last look."""
        lines = [line for line in self._official.chats.after(self.openid, self._seen) if line.who != "me"]
        self._seen = lines[-1].number if lines else self._seen
        return lines

    def wait_for(self, happened: Callable[[list[Line]], Any], seconds: float = 30) -> list[Line]:
        """All lines from the account, once they are as wanted."""

        def look() -> list[Line]:
            lines = [line for line in self._official.chats.after(self.openid, 0) if line.who != "me"]
            return lines if happened(lines) else []

        return wait_until(look, seconds, "what the follower was to see")  # type: ignore[no-any-return]

    def _over(self, message: Message) -> Message:
        assert message.done.wait(30)
        return message


def body(text: str) -> str:
    """An answer's own words in a message."""
    return NOTES.sub("", text).strip()


class Street:
    """The account, its phones, and the house behind the callback."""

    def __init__(self, house: House, official: Official, desk: str) -> None:
        self.house = house
        self.official = official
        self.desk = desk  # the address of the simulator's page
        self.account = official.account
        self.cogito = house.cogito

    def phone(self) -> Phone:
        return Phone(self.official)

    def at(self, number: int) -> None:
        """From now on pushes go to this api process."""
        self.account.callback = f"{self.house.apis[number].url}/wechat/callback"

    def wait_answered(self) -> None:
        """Until no question is open any more, and every process that waits has heard of it."""
        wait_until(lambda: not self.house._open_turns(), 20, "the end of every turn")
        self.house.wait_tick()

    @property
    def outcomes(self) -> list[list[str]]:
        return [[attempt.outcome for attempt in message.attempts] for message in self.official.pushes.messages]


@contextmanager
def street(
    folder: Path,
    *,
    processes: int = 2,
    url: str | None = None,
    mode: str = "safe",
    form: str = "xml",
    **settings: Any,
) -> Iterator[Street]:
    """A street with a house of so many processes."""
    pushes = bool(settings.get("wechat_customer_service"))
    account = Account(
        SIMULATOR_OFFICIAL_APPID, token=TOKEN, aes_key=KEY, mode=mode, form=form, may_push=pushes, cut_seconds=CUT
    )
    app = create_simulator(
        {SIMULATOR_APPID: SIMULATOR_SECRET, SIMULATOR_OFFICIAL_APPID: SIMULATOR_SECRET}, account=account
    )
    given = {"wechat_token": TOKEN, "wechat_mode": mode, "wechat_reply_seconds": REPLY}
    given |= {"wechat_silent_per_5_min": 1000}
    if mode != "plain":
        given["wechat_aes_key"] = KEY
    with serving(app) as simulator, housing(folder, simulator, *[given | settings] * processes, url=url) as house:
        made = Street(house, app.extensions["official"], simulator)
        made.at(0)
        yield made
