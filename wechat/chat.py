"""Asking over HTTP, and looking at answers: whole, as a stream, from a cursor on."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, request
from pydantic import Field

from core.answers import Cursor, LiveAnswer
from core.database import Database
from core.engine import ChatEngine
from core.errors import Busy
from core.settings import Settings
from wechat.bodies import Body, iso, parse_id, parse_number, read_json, reply
from wechat.callers import address_user, current_user
from wechat.events import finished, public_id, stream, usage

CHANNEL = "miniprogram"
MAX_CHAT_BODY = 256 * 1024
DEFAULT_WAIT, MAX_WAIT, MAX_POLL = 50.0, 55.0, 10.0  # seconds


class ChatMessage(Body):
    role: Literal["user", "assistant"]
    content: str


class Chat(Body):
    """The tutorial's request: the client holds the history."""

    messages: list[ChatMessage]
    max_tokens: int | None = None
    stream: bool = False


class Ask(Body):
    content: str
    conversation_id: str | None = None
    thinking: bool = False
    max_tokens: int | None = None
    stream: bool = False
    wait: Annotated[float, Field(ge=0)] = DEFAULT_WAIT
    client_request_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None


def chat_api(engine: ChatEngine, database: Database, settings: Settings) -> Blueprint:
    api = Blueprint("chat", __name__)
    streams = Streams(settings.max_streams_per_user)

    @api.post("/chat")
    def chat() -> Response:
        user_id = current_user(database) if settings.chat_login else address_user(database)
        asked = read_json(Chat, MAX_CHAT_BODY)
        messages = [{"role": one.role, "content": one.content} for one in asked.messages]

        def accept() -> LiveAnswer:
            return engine.complete(user_id, messages, channel=CHANNEL, max_tokens=asked.max_tokens)

        if asked.stream:
            return streams.open(user_id, accept, Cursor())
        answer = accept()
        answer.wait_until_final(settings.model_max_wait_seconds + settings.model_total_seconds)
        return _whole(answer)

    @api.post("/api/chat")
    def ask() -> Response:
        user_id = current_user(database)
        asked = read_json(Ask)

        def accept() -> LiveAnswer:
            return engine.ask(
                user_id,
                asked.content,
                channel=CHANNEL,
                conversation_id=parse_id(asked.conversation_id) if asked.conversation_id else None,
                max_tokens=asked.max_tokens,
                thinking=asked.thinking,
                request_key=asked.client_request_id,
            )

        if asked.stream:
            return streams.open(user_id, accept, Cursor())
        answer = accept()
        answer.wait_until_final(min(asked.wait, MAX_WAIT))
        return _whole(answer)

    @api.get("/api/turns/<turn_id>")
    def turn(turn_id: str) -> Response:
        answer = engine.find(current_user(database), parse_id(turn_id))
        cursor = Cursor.parse(request.args.get("after"))
        look = answer.wait(cursor, parse_number("wait", 0.0, MAX_POLL))
        return reply(
            of_turn(answer.turn)
            | {
                "status": look.state.status,
                "reply": look.text,
                "reasoning": look.reasoning,
                "next": str(look.next),
                "reset": look.reset,
                "code": look.state.code,
                "finish_reason": look.state.finish_reason,
                "usage": usage(look.state),
            }
        )

    @api.get("/api/turns/<turn_id>/stream")
    def resume(turn_id: str) -> Response:
        user_id = current_user(database)
        cursor = Cursor.parse(request.args.get("after") or request.headers.get("Last-Event-ID"))
        return streams.open(user_id, lambda: engine.find(user_id, parse_id(turn_id)), cursor)

    @api.post("/api/turns/<turn_id>/stop")
    def stop(turn_id: str) -> Response:
        answer = engine.stop(current_user(database), parse_id(turn_id))
        state = answer.state
        return reply(
            {
                "turn_id": public_id(answer.turn.id),
                "status": state.status,
                "reply": state.text,
                "reasoning": state.reasoning,
                "next": str(answer.look().next),
            }
        )

    return api


def of_turn(row: Any) -> dict[str, Any]:
    """What a turn's row tells its user, beside the answer."""
    return {
        "turn_id": public_id(row.id),
        "conversation_id": public_id(row.conversation_id),
        "question": row.question,
        "rating": row.rating,
        "created_at": iso(row.created_at),
    }


def _whole(answer: LiveAnswer) -> Response:
    """The answer as one JSON object; 202 with where to look for it if it is not finished yet."""
    error, state = answer.error, answer.state
    if error is not None:
        raise error
    names = {"conversation_id": public_id(answer.turn.conversation_id), "turn_id": public_id(answer.turn.id)}
    if not answer.final:
        return reply(names | {"status": state.status, "next": str(Cursor())}, 202)
    return reply(names | {"reasoning": state.reasoning} | finished(state))


class Streams:
    """Streams open in this process: a user's number of them is limited."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[int] = Counter()
        self._lock = threading.Lock()

    def open(self, user_id: int, find: Callable[[], LiveAnswer], cursor: Cursor) -> Response:
        """The response that streams the answer; raises Busy before anything is asked or looked for."""
        with self._lock:
            if self._open[user_id] >= self._limit:
                raise Busy("too many streams of this user are open")
            self._open[user_id] += 1
        try:
            response = stream(find(), cursor)
        except BaseException:
            self._closed(user_id)
            raise
        response.call_on_close(lambda: self._closed(user_id))
        return response

    def _closed(self, user_id: int) -> None:
        with self._lock:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]
