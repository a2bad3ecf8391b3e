"""A user's conversations over HTTP."""

from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import Field, StringConstraints

from core.answers import state_of
from core.database import Database
from core.engine import ChatEngine
from core.errors import InvalidField
from core.store import conversations
from wechat.bodies import NO_NUL, Body, iso, parse_id, parse_number, read_json, reply, whole_number
from wechat.callers import current_user
from wechat.chat import EXAMPLE_TURN, TurnTold, of_turn
from wechat.events import public_id
from wechat.openapi import Example, Parameter, Told, told

PAGE, MAX_PAGE = 20, 100
LAST_SEQ = (1 << 31) - 1  # as far as the databases count


class Entry(Told):
    """A conversation in the list."""

    conversation_id: str
    title: str
    updated_at: str
    turns: Annotated[int, Field(description="有几轮问答")]


class Page(Told):
    conversations: list[Entry]
    next: Annotated[str | None, Field(description="下一页用 before 带回来；没有更多时为 null")]


class Turns(Told):
    turns: list[TurnTold]
    next: Annotated[str | None, Field(description="更早的一页用 before 带回来；没有更多时为 null")]


_LIMIT = Parameter("limit", f"最多几条，默认 {PAGE}，上限 {MAX_PAGE}", {"type": "number", "minimum": 0})


def _before_of(pattern: str) -> Parameter:
    return Parameter("before", "上一页得到的 next", {"type": "string", "pattern": f"^({pattern})?$"})


_ENTRY = {
    "conversation_id": "1871623412340000001",
    "title": "你好",
    "updated_at": "2026-11-22T01:20:30.123Z",
    "turns": 1,
}


class Rename(Body):
    title: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=NO_NUL),
        Field(description="新的名字"),
    ]


def conversations_api(engine: ChatEngine, database: Database) -> Blueprint:
    api = Blueprint("conversations", __name__)

    @api.get("/api/conversations")
    @told(
        "对话列表，最近的在前",
        group="历史",
        answers={200: Page},
        parameters=(_before_of(r"[0-9]{1,18}\.[0-9]{1,18}"), _LIMIT),
        example=Example(answer={"conversations": [_ENTRY], "next": None}),
    )
    def page() -> Response:
        user_id, limit = current_user(database), _limit()
        rows = database.read(conversations.page, user_id, limit, _before(2))
        last = rows[-1] if len(rows) == limit else None
        return reply(
            {
                "conversations": [
                    {
                        "conversation_id": public_id(row.id),
                        "title": row.title,
                        "updated_at": iso(row.updated_at),
                        "turns": row.last_seq,
                    }
                    for row in rows
                ],
                "next": f"{last.updated_at}.{last.id}" if last else None,
            }
        )

    @api.get("/api/conversations/<conversation_id>")
    @told(
        "一个对话里的问答，最近的一页",
        group="历史",
        answers={200: Turns},
        parameters=(_before_of("[0-9]{1,9}"), _LIMIT),
        example=Example(answer={"turns": [EXAMPLE_TURN], "next": None}),
    )
    def turns(conversation_id: str) -> Response:
        user_id, limit, mark = current_user(database), _limit(), _before(1)
        before = min(mark[0], LAST_SEQ) if mark else None
        rows = database.read(conversations.turns, user_id, parse_id(conversation_id), limit, before)
        return reply(
            {
                "turns": [of_turn(row, state_of(row)) for row in rows],
                "next": str(rows[0].seq) if len(rows) == limit else None,
            }
        )

    @api.put("/api/conversations/<conversation_id>")
    @told(
        "给对话改名",
        group="历史",
        body=Rename,
        answers={204: None},
        example=Example(body={"title": "旅行计划"}, answer=None, status=204),
    )
    def rename(conversation_id: str) -> Response:
        user_id, title = current_user(database), read_json(Rename).title
        database.write(conversations.rename, user_id, parse_id(conversation_id), title, order=user_id)
        return Response(status=204)

    @api.delete("/api/conversations/<conversation_id>")
    @told("删除一个对话", group="历史", answers={204: None})
    def remove(conversation_id: str) -> Response:
        engine.forget(current_user(database), parse_id(conversation_id))
        return Response(status=204)

    @api.delete("/api/conversations")
    @told("删除全部对话", group="历史", answers={204: None})
    def remove_all() -> Response:
        engine.forget(current_user(database))
        return Response(status=204)

    return api


def _limit() -> int:
    return max(1, int(parse_number("limit", PAGE, MAX_PAGE)))


def _before(parts: int) -> tuple[int, ...] | None:
    """The page mark a client sends back: `parts` numbers; raises InvalidMessage."""
    written = request.args.get("before")
    if not written:
        return None
    numbers = [number for part in written.split(".") if (number := whole_number(part)) is not None]
    if len(numbers) != parts or written.count(".") != parts - 1:
        raise InvalidField("before", "not a page mark of ours")
    return tuple(numbers)
