"""What an official account asks of the platform: messages to followers, typing, media, its menu, its old replies."""

from collections.abc import Callable
from typing import Any

from wechat.platform import PlatformError, WeChatPlatform

MAX_MEDIA = 4 * 1024 * 1024
SEND_TIMEOUT = (3.0, 8.0)

ALREADY_TYPING, NOT_LATELY = 45081, 45080


class Messaging:
    """The calls of one official account; all of them raise PlatformError.

    `messaged` is told of each customer-service message: `sent`, WeChat's error code, or `unreachable`.
    """

    def __init__(self, platform: WeChatPlatform, messaged: Callable[[str], None] = lambda result: None) -> None:
        self._platform = platform
        self._messaged = messaged

    def send_text(self, openid: str, text: str, *, ai: bool) -> None:
        """A customer-service message. WeChat itself marks what an AI wrote where it is told so."""
        body: dict[str, Any] = {"touser": openid, "msgtype": "text", "text": {"content": text}}
        if ai:
            body["aimsgcontext"] = {"is_ai_msg": 1}
        try:
            self._platform.call("POST", "/cgi-bin/message/custom/send", body, timeout=SEND_TIMEOUT)
        except PlatformError as error:
            self._messaged(str(error.errcode or "unreachable"))
            raise
        self._messaged("sent")

    def show_typing(self, openid: str) -> None:
        """It lasts 15 seconds."""
        try:
            body = {"touser": openid, "command": "Typing"}
            self._platform.call("POST", "/cgi-bin/message/custom/typing", body)
        except PlatformError as error:
            if error.errcode not in (ALREADY_TYPING, NOT_LATELY):
                raise

    def media(self, media_id: str) -> bytes:
        """A voice or a picture a follower sent; WeChat keeps it for three days."""
        return self._platform.download("/cgi-bin/media/get", {"media_id": media_id}, MAX_MEDIA)

    def menu(self) -> dict[str, Any]:
        """As it is now, made by whomever."""
        return self._platform.call("GET", "/cgi-bin/get_current_selfmenu_info")

    def set_menu(self, menu: dict[str, Any]) -> None:
        self._platform.call("POST", "/cgi-bin/menu/create", menu)

    def auto_replies(self) -> dict[str, Any]:
        """What was set up in the console before the callback was switched on."""
        return self._platform.call("GET", "/cgi-bin/get_current_autoreply_info")

    def callback_addresses(self) -> list[str]:
        """The simplest call there is."""
        found = self._platform.call("GET", "/cgi-bin/getcallbackip").get("ip_list")
        return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
