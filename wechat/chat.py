"""Asking over HTTP, and looking at answers: whole, as a stream, from a cursor on."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, request
from pydantic import BeforeValidator, Field

from core.answers import Cursor, LiveAnswer, State
from core.database import Database
from core.engine import MAX_MESSAGES, ChatEngine
from core.errors import Busy
from core.settings import Settings
from core.store.turns import Status
from wechat.bodies import NO_NUL, Body, iso, parse_id, parse_number, read_json, reply
from wechat.callers import address_user, current_user
from wechat.events import detail, finished, public_id, stream, usage
from wechat.openapi import STREAM, Example, Parameter, Told, told

CHANNEL = "miniprogram"
MAX_CHAT_BODY = 256 * 1024
DEFAULT_WAIT, MAX_WAIT, MAX_POLL = 50.0, 55.0, 10.0  # seconds
CLOUD_WAIT = 12.0  # callContainer lasts 15 s


RequestId = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=NO_NUL, description="客户端起的编号：重试时不变，就不会答两次"),
]
MaxTokens = Annotated[
    int | None,
    BeforeValidator(lambda given: int(given) if isinstance(given, float) and given.is_integer() else given),
    Field(description="回答最多多少 token", json_schema_extra={"minimum": 1}),
]
Wait = Annotated[float, Field(ge=0, description=f"最多等多少秒，上限 {MAX_WAIT:g}；写不完就返回 202")]


class ChatMessage(Body):
    role: Literal["user", "assistant"]
    content: str


class Chat(Body):
    """The tutorial's request: the client holds the history."""

    messages: Annotated[
        list[ChatMessage],
        Field(
            description=f"由客户端保存的对话，最后一条是用户的；最多 {MAX_MESSAGES} 条",
            json_schema_extra={"minItems": 1, "maxItems": MAX_MESSAGES},
        ),
    ]
    max_tokens: MaxTokens = None
    stream: Annotated[bool, Field(description="true：返回事件流")] = False


class Ask(Body):
    content: Annotated[str, Field(description="问题", json_schema_extra={"minLength": 1, "pattern": r"\S"})]
    conversation_id: Annotated[str | None, Field(description="接着哪个对话问；不填则开始新的对话")] = None
    thinking: Annotated[bool, Field(description="true：先思考再回答")] = False
    max_tokens: MaxTokens = None
    stream: Annotated[bool, Field(description="true：返回事件流")] = False
    wait: Wait | None = None
    client_request_id: RequestId | None = None


class Regenerate(Body):
    stream: Annotated[bool, Field(description="true：返回事件流")] = False
    wait: Wait | None = None
    client_request_id: RequestId | None = None


class Usage(Told):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Answer(Told):
    """A finished answer."""

    conversation_id: str | None
    turn_id: str
    reasoning: str
    reply: str
    finish_reason: str | None
    usage: Usage | None
    status: Literal["done", "stopped"]


class Pending(Told):
    """An answer that is still being written."""

    conversation_id: str | None
    turn_id: str
    status: Literal["queued", "answering"]
    next: Annotated[str, Field(description="从这里继续看：GET /api/turns/{turn_id}?after=")]


class Stopped(Told):
    turn_id: str
    status: Status
    reply: str
    reasoning: str
    next: str


class TurnTold(Told):
    """A turn of a conversation, as the list of its turns shows it."""

    turn_id: str
    conversation_id: str | None
    question: str
    rating: Literal["up", "down"] | None
    created_at: str
    status: Status
    reply: str
    reasoning: str
    code: str | None
    detail: str | None
    finish_reason: str | None
    usage: Usage | None


class TurnFrom(TurnTold):
    """A turn as it is looked at from a cursor on."""

    next: Annotated[str, Field(description="下次用 after 带回来")]
    reset: Annotated[bool, Field(description="true：之前显示的作废，用这次的替换")]


ASKING = (404, 409, 422, 429, 500, 503)  # what may become of a question, beside its answer
_CURSOR = {"type": "string", "pattern": r"^([0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9})?$"}
_AFTER = Parameter("after", "从哪里开始看（上次得到的 next）；不填为全部", _CURSOR)
_EXAMPLE_ANSWER = {
    "conversation_id": "1871623412340000001",
    "turn_id": "1871623412340000002",
    "reasoning": "",
    "reply": "回答：你好",
    "finish_reason": "stop",
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    "status": "done",
}
EXAMPLE_TURN = _EXAMPLE_ANSWER | {
    "question": "你好",
    "rating": None,
    "created_at": "2026-11-22T01:20:30.123Z",
    "code": None,
    "detail": None,
}


def chat_api(engine: ChatEngine, database: Database, settings: Settings) -> Blueprint:
    api = Blueprint("chat", __name__)
    streams = Streams(settings.max_streams_per_user)

    def answered(user_id: int, accept: Callable[[], LiveAnswer], as_stream: bool, seconds: float) -> Response:
        """What is accepted, as a stream or waited for."""
        if as_stream:
            return streams.open(user_id, accept, Cursor())
        answer = accept()
        answer.wait_until_final(seconds)
        return _whole(answer)

    def patience(wait: float | None) -> float:
        if wait is None:
            wait = CLOUD_WAIT if settings.wechat_cloud else DEFAULT_WAIT
        return min(wait, MAX_WAIT)

    @api.post("/chat")
    @told(
        "提问（历史由客户端保存）",
        group="对话",
        about="stream 为 true 时返回事件流。",
        body=Chat,
        answers={200: Answer, 202: Pending},
        refusals=ASKING,
        example=Example(
            body={"messages": [{"role": "user", "content": "你好"}]},
            answer=_EXAMPLE_ANSWER | {"conversation_id": None},
        ),
        streams=True,
    )
    def chat() -> Response:
        user_id = current_user(database) if settings.chat_login else address_user(database)
        asked = read_json(Chat, MAX_CHAT_BODY)
        messages = [{"role": one.role, "content": one.content} for one in asked.messages]

        def accept() -> LiveAnswer:
            return engine.complete(user_id, messages, channel=CHANNEL, max_tokens=asked.max_tokens)

        return answered(user_id, accept, asked.stream, settings.model_max_wait_seconds + settings.model_total_seconds)

    @api.post("/api/chat")
    @told(
        "提问（历史由服务器保存）",
        group="对话",
        about="stream 为 true 时返回事件流。同一个对话里前一个问题还没答完时，后一个排队等它。",
        body=Ask,
        answers={200: Answer, 202: Pending},
        refusals=ASKING,
        example=Example(body={"content": "你好", "client_request_id": "f3a9"}, answer=_EXAMPLE_ANSWER),
        streams=True,
    )
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

        return answered(user_id, accept, asked.stream, patience(asked.wait))

    @api.post("/api/turns/<turn_id>/regenerate")
    @told(
        "重新回答",
        group="对话",
        about="只能是对话里的最后一个问题，并且已经答完，否则 409。计入提问次数；原来的回答不再出现在对话里。",
        body=Regenerate,
        answers={200: Answer, 202: Pending},
        refusals=ASKING,
        example=Example(body={"client_request_id": "f3aa"}, answer=_EXAMPLE_ANSWER),
        streams=True,
    )
    def regenerate(turn_id: str) -> Response:
        user_id = current_user(database)
        asked = read_json(Regenerate, optional=True)

        def accept() -> LiveAnswer:
            return engine.regenerate(user_id, parse_id(turn_id), request_key=asked.client_request_id)

        return answered(user_id, accept, asked.stream, patience(asked.wait))

    @api.get("/api/turns/<turn_id>")
    @told(
        "查看一个回答",
        group="对话",
        answers={200: TurnFrom},
        parameters=(
            _AFTER,
            Parameter("wait", f"没有新内容时最多等多少秒，上限 {MAX_POLL:g}", {"type": "number", "minimum": 0}),
        ),
        example=Example(answer=EXAMPLE_TURN | {"next": "1.0.5", "reset": False}),
    )
    def turn(turn_id: str) -> Response:
        answer = engine.find(current_user(database), parse_id(turn_id))
        cursor = Cursor.parse(request.args.get("after"))
        look = answer.wait(cursor, parse_number("wait", 0.0, MAX_POLL))
        shown = look.state._replace(text=look.text, reasoning=look.reasoning)
        return reply(of_turn(answer.turn, shown) | {"next": str(look.next), "reset": look.reset})

    @api.get("/api/turns/<turn_id>/stream")
    @told(
        "继续一个事件流",
        group="对话",
        answers={200: STREAM},
        parameters=(_AFTER, Parameter("Last-Event-ID", "同 after", _CURSOR, place="header")),
        refusals=(503,),
    )
    def resume(turn_id: str) -> Response:
        user_id = current_user(database)
        cursor = Cursor.parse(request.args.get("after") or request.headers.get("Last-Event-ID"))
        return streams.open(user_id, lambda: engine.find(user_id, parse_id(turn_id)), cursor)

    @api.post("/api/turns/<turn_id>/stop")
    @told(
        "停止回答",
        group="对话",
        about="已经写出来的部分保留。",
        answers={200: Stopped},
        example=Example(
            answer={
                "turn_id": "1871623412340000002",
                "status": "done",
                "reply": "回答：你好",
                "reasoning": "",
                "next": "1.0.5",
            }
        ),
    )
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


def of_turn(row: Any, state: State) -> dict[str, Any]:
    """What a turn tells its user; `state` is what they are shown of the answer."""
    return {
        "turn_id": public_id(row.id),
        "conversation_id": public_id(row.conversation_id),
        "question": row.question,
        "rating": row.rating,
        "created_at": iso(row.created_at),
        "status": state.status,
        "reply": state.text,
        "reasoning": state.reasoning,
        "code": state.code,
        "detail": detail(state),
        "finish_reason": state.finish_reason,
        "usage": usage(state),
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
