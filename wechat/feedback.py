"""What users think of an answer: ratings, and complaints for staff to look at."""

from typing import Annotated

from flask import Blueprint, Response
from pydantic import Field, StringConstraints
from sqlalchemy import Connection

from core.alerts import Alerts
from core.database import Database
from core.settings import Settings
from core.store import complaints, ratings, turns
from core.store.complaints import MAX_REASON_CHARS
from wechat.bodies import NO_NUL, Body, parse_id, read_json, reply
from wechat.callers import current_user
from wechat.openapi import Example, Told, told

MAX_RATING_REASON = 500


class Rating(Body):
    rating: Annotated[ratings.Rating | None, Field(description="null：收回")]
    reason: Annotated[str, Field(max_length=MAX_RATING_REASON, pattern=NO_NUL, description="为什么")] | None = None


class Rated(Told):
    turn_id: str
    rating: ratings.Rating | None
    reason: str | None


class Report(Body):
    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_REASON_CHARS, pattern=NO_NUL),
        Field(description="哪里不合适"),
    ]


class Receipt(Told):
    turn_id: str
    receipt: Annotated[str, Field(description="受理编号")]


def feedback_api(database: Database, alerts: Alerts, settings: Settings) -> Blueprint:
    api = Blueprint("feedback", __name__)

    @api.post("/api/turns/<turn_id>/rating")
    @told(
        "评价一个回答",
        group="反馈",
        body=Rating,
        answers={200: Rated},
        example=Example(
            body={"rating": "up", "reason": "说得很清楚"},
            answer={"turn_id": "1871623412340000002", "rating": "up", "reason": "说得很清楚"},
        ),
    )
    def rate(turn_id: str) -> Response:
        user_id, said = current_user(database), read_json(Rating)
        reason = said.reason if said.rating else None
        given = (said.rating, reason, settings.timezone)
        turn = database.write(_rate, user_id, parse_id(turn_id), *given, order=user_id)
        return reply({"turn_id": str(turn), "rating": said.rating, "reason": reason})

    @api.post("/api/turns/<turn_id>/report")
    @told(
        "投诉一个回答",
        group="反馈",
        about="交给工作人员处理。处理完之前再次投诉同一个回答，得到同一个受理编号。",
        body=Report,
        answers={200: Receipt},
        example=Example(
            body={"reason": "回答里有不实内容"},
            answer={"turn_id": "1871623412340000002", "receipt": "20261122083451"},
        ),
    )
    def report(turn_id: str) -> Response:
        user_id, said = current_user(database), read_json(Report)
        receipt, new = database.write(
            _report, user_id, parse_id(turn_id), said.reason, settings.timezone, order=user_id
        )
        if new:
            alerts.tell("complaint", f"有新的投诉，受理编号 {receipt}，请到控制台处理。")
        return reply({"turn_id": turn_id, "receipt": receipt})

    return api


def _rate(
    connection: Connection,
    user_id: int,
    turn_id: int,
    given: ratings.Rating | None,
    reason: str | None,
    timezone: str,
) -> int:
    """Raises NotFound."""
    turn = turns.get_of_user(connection, turn_id, user_id)
    ratings.rate(connection, turn, given, reason, timezone)
    return int(turn.id)


def _report(connection: Connection, user_id: int, turn_id: int, reason: str, timezone: str) -> tuple[str, bool]:
    """Raises NotFound."""
    turn = turns.get_of_user(connection, turn_id, user_id)
    return complaints.report(connection, user_id, turn, reason, channel=turn.channel, timezone=timezone)
