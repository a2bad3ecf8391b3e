"""Turns as the log has them, put straight into the database: of any time, channel and outcome."""

import secrets
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert

from core.database import Database
from core.store import users
from core.tables import (
    ComplaintRow,
    ConversationRow,
    DailyUserRow,
    DeliveryRow,
    FiguresRow,
    JobRow,
    TurnMarkRow,
    TurnRow,
    id_at,
    new_id,
    now_ms,
)

APPID = "wxapp"


def user(database: Database, openid: str = "") -> int:
    return database.write(users.sign_in, APPID, openid or secrets.token_hex(8))


def an_id(when: int) -> int:
    return id_at(when) | secrets.randbits(22)


def turn(database: Database, user_id: int | None, question: str, answer: str = "好的。", **more: Any) -> int:
    """A turn that is over, asked `ago` milliseconds ago; its id."""
    return turns(database, [made(user_id, question, answer, **more)])[0]


def made(
    user_id: int | None, question: str, answer: str = "好的。", *, ago: int = 1000, **more: Any
) -> dict[str, Any]:
    """The values of its row."""
    when = now_ms() - ago
    values = {
        "id": an_id(when),
        "user_id": user_id,
        "conversation_id": None,
        "seq": None,
        "channel": "miniprogram",
        "question": question,
        "options": '{"max_tokens":500}',
        "status": "done",
        "attempt": 1,
        "answer": answer,
        "reasoning": "",
        "code": None,
        "prompt_version": None,
        "model": "Cogito",
        "prompt_tokens": 120,
        "completion_tokens": 30,
        "first_token_ms": 200,
        "duration_ms": 900,
        "hits": None,
        "superseded": False,
        "rating": None,
        "rating_reason": None,
        "created_at": when,
        "finished_at": when + 900,
    }
    hits = more.pop("hits", None)
    return values | more | {"hits": orjson.dumps(hits).decode() if hits else None}


def turns(database: Database, rows: list[dict[str, Any]]) -> list[int]:
    database.write(lambda connection: connection.execute(insert(TurnRow), rows))
    return [row["id"] for row in rows]


def conversation(database: Database, user_id: int, title: str = "一个对话") -> int:
    number, now = new_id(), now_ms()
    values = {"id": number, "user_id": user_id, "channel": "miniprogram", "title": title, "last_seq": 9}
    row = insert(ConversationRow).values(created_at=now, updated_at=now, **values)
    database.write(lambda connection: connection.execute(row))
    return number


def delivery(database: Database, turn_id: int, state: str, *, ago: int = 1000, **more: Any) -> None:
    """How a turn's answer reached a follower."""
    when = now_ms() - ago
    values = {"appid": "wxoa", "key": str(turn_id), "openid": "o", "turn_id": turn_id, "state": state}
    values |= {"id": an_id(when), "arrivals": 1, "reply": "好的。", "shown": 3, "shown_at": when, "created_at": when}
    database.write(lambda connection: connection.execute(insert(DeliveryRow).values(**(values | more))))


def clear(database: Database) -> None:
    """No turns, nothing about them, nothing counted."""

    def work(connection: Connection) -> None:
        sqlite = connection.dialect.name == "sqlite"  # its table without contents knows no other way
        everything = (
            "INSERT INTO turn_grams (turn_grams) VALUES ('delete-all')" if sqlite else "DELETE FROM turn_grams"
        )
        connection.exec_driver_sql(everything)
        for table in (TurnMarkRow, DeliveryRow, ComplaintRow, FiguresRow, DailyUserRow, JobRow, TurnRow):
            connection.execute(delete(table))

    database.write(work)
