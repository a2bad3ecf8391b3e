"""Events: followers who come and go, tap the menu or scan a code, and what WeChat reports."""

import logging
from typing import TYPE_CHECKING, Any

from core.database import Database
from core.engine import ChatEngine
from core.keywords import keyword_reply
from core.store import accounts, followers, users
from wechat import phrases
from wechat.callers import CLOUD_APP
from wechat.messages import Push
from wechat.visits import CHANNEL, Visit

if TYPE_CHECKING:
    from wechat.reception import Reception

log = logging.getLogger(__name__)

ERASING = {"unsubscribe", "user_authorization_revoke", "user_authorization_cancellation"}


class Events:
    """None of them ever reaches the model."""

    def __init__(self, reception: "Reception", engine: ChatEngine, database: Database, appid: str) -> None:
        self._reception = reception
        self._engine = engine
        self._database = database
        self._appid = appid

    def receive(self, visit: Visit) -> str:
        push = visit.push
        if push.event in ERASING:
            self._leave(push)
            return phrases.SUCCESS
        if push.event == "wxa_media_check":
            self._record_media_check(push)
            return phrases.SUCCESS
        if push.event == "subscribe":
            scene = push.get("EventKey").removeprefix("qrscene_")
            return self._reception.once(visit, lambda row: self._keyword(scene) or self._welcome())
        if push.event in ("scan", "click"):
            return self._reception.once(visit, lambda row: self._key(row, push.get("EventKey")))
        return phrases.SUCCESS

    def _key(self, row: Any, key: str) -> str:
        """A menu's key or a QR code's scene: a keyword, or a command."""
        if (reply := self._keyword(key)) is not None:
            return reply
        act = self._reception.command(key)
        return act(row, key) if act is not None else phrases.SUCCESS

    def _keyword(self, key: str) -> str | None:
        return keyword_reply(self._engine.live.replies, key) if key else None

    def _welcome(self) -> str:
        options = self._engine.live.options
        suggestions = [each for each in options.get("suggestions") or [] if isinstance(each, str)]
        return phrases.welcome(str(options.get("welcome") or ""), suggestions)

    def _leave(self, push: Push) -> None:
        """Erase what the official account knows of a user, or all there is if they come to no other app of ours."""
        openid = push.get("OpenID") or push.sender
        user_id = self._database.read(users.of_identity, self._appid, openid)
        if user_id is None and (app := push.get("AppID")):
            user_id = self._database.read(users.of_identity, app, openid)
            user_id = user_id or self._database.read(users.of_identity, CLOUD_APP, openid)
        if user_id is None:
            self._database.write(followers.erase_unknown, self._appid, openid)
        elif not self._database.read(followers.is_known_elsewhere, self._appid, user_id):
            self._engine.erase(user_id)
        else:
            for turn_id in self._database.write(followers.erase, self._appid, user_id, CHANNEL, order=user_id):
                self._engine.abandon(turn_id)
        log.info("a follower left (%s); their data is erased", push.event)

    def _record_media_check(self, push: Push) -> None:
        fields = push.message._data
        result = fields.get("result")
        result = result if isinstance(result, dict) else {}
        suggest, label = str(result.get("suggest", "")), _int(result.get("label"))
        errcode = _int(fields.get("errcode"))
        trace_id = push.get("trace_id")[:128] or push.key
        log.info("media check %s: errcode %s, %s, label %s", trace_id, errcode, suggest, label)
        self._database.write(accounts.record_media_check, trace_id, push.sender, errcode, suggest[:16], label)


def _int(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0
