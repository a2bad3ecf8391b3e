"""The desk's page: a chat with the official account on a phone, and beside it what goes over the wire.

GET  /desk/chat?openid=&after=      what is new in a chat, the deliveries, the switches
POST /desk/say       {openid, text}
POST /desk/event     {openid, event, key?}      subscribe, unsubscribe, CLICK, VIEW, SCAN
POST /desk/voice?openid=            a recording as the body
POST /desk/switches  {may_push?, mode?, form?, attempts?, slow_seconds?, lose_replies?, overlap?, mute_after?}
"""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask import Blueprint, abort, request
from pydantic import Field
from werkzeug.exceptions import HTTPException

from wechat.simulator.desk import Body, Identifier, read
from wechat.simulator.official import Official
from wechat.simulator.pushes import Message

MOST_VOICE = 2 * 1024 * 1024
SHOWN = 12


class Say(Body):
    openid: Identifier
    text: Annotated[str, Field(min_length=1, max_length=2000)]


class Event(Body):
    openid: Identifier
    event: Literal["subscribe", "unsubscribe", "CLICK", "VIEW", "SCAN"]
    key: Annotated[str, Field(max_length=1024)] = ""


class Switches(Body):
    may_push: bool | None = None
    mode: Literal["plain", "compatible", "safe"] | None = None
    form: Literal["xml", "json"] | None = None
    attempts: Annotated[int, Field(ge=3, le=4)] | None = None
    slow_seconds: Annotated[float, Field(ge=0, le=4.5)] | None = None
    lose_replies: Annotated[int, Field(ge=0, le=100)] | None = None
    overlap: bool | None = None
    mute_after: Annotated[int, Field(ge=0, le=1000)] | None = None


def chat_desk(official: Official) -> Blueprint:
    desk = Blueprint("chat_desk", __name__, url_prefix="/desk")

    @desk.errorhandler(HTTPException)
    def explain(error: HTTPException) -> tuple[dict[str, str | None], int]:
        return {"error": error.description}, error.code or 500

    @desk.get("/chat")
    def chat() -> dict[str, Any]:
        openid = request.args.get("openid", "")
        if not openid.isascii() or not 1 <= len(openid) <= 64:
            abort(400, "没有 openid。")
        chat, now = official.chats.of(openid), official.world.now()
        after = request.args.get("after", 0, type=int)
        mine = [message for message in list(official.pushes.messages) if message.openid == openid]
        account = official.account
        return {
            "lines": [asdict(line) for line in official.chats.after(openid, after)],
            "typing": chat.typing_until > now,
            "follows": chat.follows,
            "menu": (official.menu or {}).get("button", []),
            "deliveries": [_told(message) for message in mine[-SHOWN:]][::-1],
            "switches": {name: getattr(account, name) for name in Switches.model_fields},
            "failures": official.pushes.failures,
        }

    @desk.post("/say")
    def say() -> dict[str, str]:
        body = read(Say)
        official.say(body.openid, body.text)
        return {}

    @desk.post("/event")
    def event() -> dict[str, str]:
        body = read(Event)
        official.event(body.openid, body.event, body.key)
        return {}

    @desk.post("/voice")
    def voice() -> dict[str, str]:
        openid, data = request.args.get("openid", ""), request.get_data()
        if not openid or not data or len(data) > MOST_VOICE:
            abort(400, "没有录音，或者超过 2 MB。")
        official.voice(openid, data, request.content_type or "audio/amr")
        return {}

    @desk.post("/switches")
    def switches() -> dict[str, str]:
        for name, value in read(Switches).model_dump(exclude_none=True).items():
            if name == "mode" and value != "plain" and not official.account.aes_key:
                abort(400, "没有配置 AES 密钥，只能用明文模式。")
            setattr(official.account, name, value)
        return {}

    return desk


def _told(message: Message) -> dict[str, Any]:
    """A message and its deliveries, for the page."""
    fields = message.fields
    what = str(fields.get("Content") or f"{fields.get('Event', fields['MsgType'])} {fields.get('EventKey', '')}")
    return {
        "id": id(message),
        "what": what.strip(),
        "at": message.at,
        "done": message.done.is_set(),
        "verdict": asdict(message.verdict) if message.verdict else None,
        "attempts": [
            {
                "number": attempt.number,
                "since": round(attempt.began - message.sent, 2),
                "took": round(attempt.end - attempt.began, 2) if attempt.end else None,
                "outcome": attempt.outcome,
                "status": attempt.status,
                "request": attempt.request,
                "sent": attempt.wire if attempt.wire != attempt.request else "",
                "reply": attempt.reply,
                "opened": attempt.opened if attempt.opened != attempt.reply else "",
            }
            for attempt in message.attempts
        ],
    }
