"""The official account of the desk: its settings, its followers' chats, its pushes, its menu."""

import itertools
import secrets
import threading
import time
from typing import Any

from wechat.simulator.account import Account
from wechat.simulator.chats import Chats
from wechat.simulator.errors import Refused
from wechat.simulator.pushes import FAILURE, Message, Pushes
from wechat.simulator.world import World

MEDIA_REMEMBERED = 200
START_MENU = {
    "button": [
        {"type": "click", "name": "帮助", "key": "帮助"},
        {
            "name": "更多",
            "sub_button": [
                {"type": "click", "name": "清空对话", "key": "清空"},
                {"type": "click", "name": "人工客服", "key": "人工"},
                {"type": "click", "name": "投诉", "key": "投诉"},
            ],
        },
    ]
}
WINDOW_EVENTS = {"subscribe", "SCAN", "CLICK"}


class Official:
    """What a follower does, and what the account's server asks of the platform."""

    def __init__(self, world: World, account: Account) -> None:
        self.world = world
        self.account = account
        self.chats = Chats()
        self.pushes = Pushes(account)
        self.menu: dict[str, Any] | None = None
        self.auto_replies: dict[str, Any] = {"is_add_friend_reply_open": 0, "is_autoreply_open": 0}
        self.media: dict[str, tuple[bytes, str]] = {}
        self._numbers = itertools.count(1)

    # The follower's hand

    def say(self, openid: str, text: str, **fields: Any) -> Message:
        """Type a text, or tap one."""
        self.chats.add(openid, "me", text, self.world.now())
        return self._message(openid, {"MsgType": "text", "Content": text, **fields})

    def voice(self, openid: str, data: bytes, kind: str = "audio/amr", recognition: str = "") -> Message:
        media_id = self.upload(data, kind)
        self.chats.add(openid, "me", "［语音］", self.world.now())
        fields = {"MsgType": "voice", "Format": "amr", "MediaId": media_id, "MediaId16K": media_id}
        return self._message(openid, fields | ({"Recognition": recognition} if recognition else {}))

    def message(self, openid: str, fields: dict[str, Any], shown: str) -> Message:
        """Any other message."""
        self.chats.add(openid, "me", shown, self.world.now())
        return self._message(openid, fields)

    def event(self, openid: str, event: str, key: str = "", **fields: Any) -> Message:
        """Follow, unfollow, tap the menu, scan a code."""
        chat = self.chats.of(openid)
        if event in ("subscribe", "unsubscribe"):
            chat.follows = event == "subscribe"
            self.chats.add(openid, "notice", "你关注了公众号" if chat.follows else "你取消了关注", self.world.now())
        if event in WINDOW_EVENTS:
            self.chats.acts(openid, self.world.now(), self.account, message=False)
        return self._push(openid, {"MsgType": "event", "Event": event, "EventKey": key, **fields})

    def upload(self, data: bytes, kind: str) -> str:
        media_id = f"desk-media-{secrets.token_urlsafe(24)}"
        self.media[media_id] = (data, kind)
        while len(self.media) > MEDIA_REMEMBERED:
            del self.media[next(iter(self.media))]
        return media_id

    def _message(self, openid: str, fields: dict[str, Any]) -> Message:
        self.chats.acts(openid, self.world.now(), self.account, message=True)
        return self._push(openid, fields)

    def _push(self, openid: str, fields: dict[str, Any]) -> Message:
        message = self.pushes.send(openid, fields)
        threading.Thread(target=self._show, args=(openid, message), daemon=True).start()
        return message

    def _show(self, openid: str, message: Message) -> None:
        message.done.wait()
        verdict, now = message.verdict, self.world.now()
        if verdict is None or verdict.kind == "nothing":
            return
        if verdict.kind == "text":
            self.chats.add(openid, "them", verdict.text, now, "passive")
        elif verdict.kind == "transfer":
            self.chats.of(openid).human = True
            self.chats.add(openid, "notice", "消息已转给人工客服", now)
        elif message.fields["MsgType"] != "event":
            self.chats.add(openid, "notice", FAILURE, now)

    # The server's calls

    def send(self, body: dict[str, Any]) -> None:
        """custom/send; raises Refused."""
        if not self.account.may_push:
            raise Refused(48001)
        kind = body.get("msgtype")
        if kind not in ("text", "msgmenu"):
            raise Refused(40008)
        content = body.get(kind)
        if not isinstance(content, dict):
            raise Refused(47001)
        text = content.get("content") if kind == "text" else _menu_text(content)
        if not isinstance(text, str) or not text:
            raise Refused(44004)
        context = body.get("aimsgcontext")
        ai = isinstance(context, dict) and context.get("is_ai_msg") == 1
        self.chats.send(str(body.get("touser", "")), text, self.world.now(), ai)

    def type(self, body: dict[str, Any]) -> None:
        """custom/typing; raises Refused."""
        if not self.account.may_push:
            raise Refused(48001)
        self.chats.type(str(body.get("touser", "")), self.world.now(), str(body.get("command", "")))

    def wait_until_quiet(self, seconds: float = 60) -> None:
        """Until no delivery is under way."""
        end = time.monotonic() + seconds
        for message in list(self.pushes.messages):
            message.done.wait(max(0.0, end - time.monotonic()))


def _menu_text(content: dict[str, Any]) -> str:
    items = [str(item.get("content", "")) for item in content.get("list", []) if isinstance(item, dict)]
    return "\n".join([str(content.get("head_content", "")), *items, str(content.get("tail_content", ""))])
