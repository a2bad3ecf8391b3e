"""A user's conversations over HTTP."""

from typing import Annotated, Any

from flask import Blueprint, Response, request
from pydantic import StringConstraints

from core.answers import state_of
from core.database import Database
from core.engine import ChatEngine
from core.errors import InvalidMessage
from core.store import conversations
from wechat.bodies import Body, iso, parse_id, parse_number, read_json, reply
from wechat.callers import current_user
from wechat.chat import of_turn
from wechat.events import public_id, usage

PAGE, MAX_PAGE = 20, 100


class Rename(Body):
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


def conversations_api(engine: ChatEngine, database: Database) -> Blueprint:
    api = Blueprint("conversations", __name__)

    @api.get("/api/conversations")
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
    def turns(conversation_id: str) -> Response:
        user_id, limit, before = current_user(database), _limit(), _before(1)
        rows = database.read(
            conversations.turns, user_id, parse_id(conversation_id), limit, before[0] if before else None
        )
        return reply(
            {"turns": [_turn(row) for row in rows], "next": str(rows[0].seq) if len(rows) == limit else None}
        )

    @api.put("/api/conversations/<conversation_id>")
    def rename(conversation_id: str) -> Response:
        user_id, title = current_user(database), read_json(Rename).title
        database.write(conversations.rename, user_id, parse_id(conversation_id), title, order=user_id)
        return Response(status=204)

    @api.delete("/api/conversations/<conversation_id>")
    def remove(conversation_id: str) -> Response:
        engine.forget(current_user(database), parse_id(conversation_id))
        return Response(status=204)

    @api.delete("/api/conversations")
    def remove_all() -> Response:
        engine.forget(current_user(database))
        return Response(status=204)

    return api


def _turn(row: Any) -> dict[str, Any]:
    state = state_of(row)
    return of_turn(row) | {
        "status": state.status,
        "reply": state.text,
        "reasoning": state.reasoning,
        "code": state.code,
        "finish_reason": state.finish_reason,
        "usage": usage(state),
    }


def _limit() -> int:
    return max(1, int(parse_number("limit", PAGE, MAX_PAGE)))


def _before(parts: int) -> tuple[int, ...] | None:
    """The page mark a client sends back: `parts` numbers; raises InvalidMessage."""
    written = request.args.get("before")
    if not written:
        return None
    numbers = written.split(".")
    if len(numbers) != parts or not all(one.isascii() and one.isdigit() and len(one) < 20 for one in numbers):
        raise InvalidMessage("not a page mark of ours")
    return tuple(map(int, numbers))
