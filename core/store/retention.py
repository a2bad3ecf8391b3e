"""Clearing what is older than it may be kept: in small transactions, so that nobody waits for them."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, exists, select

from core.store import rates, turnindex
from core.store.turns import OPEN
from core.tables import (
    ComplaintRow,
    ConversationRow,
    DeliveryRow,
    JobRow,
    MediaCheckRow,
    SessionRow,
    SilenceRow,
    StaffSessionRow,
    TurnRow,
    id_at,
)

DAY_MS = 86_400_000
SLICE = 500  # rows in one transaction

Step = Callable[[Connection], int]


def of_content(before_ms: int) -> list[tuple[str, Step]]:
    """Turns older than this, and what belongs to them. Each step clears at most a slice and says how many rows."""
    oldest = id_at(before_ms)  # ids grow with time: a range of the primary key, no scan
    left = exists().where(TurnRow.conversation_id == ConversationRow.id)
    return [
        ("turns", _step(TurnRow.id, TurnRow.id < oldest, TurnRow.status.not_in(OPEN), before=turnindex.leave)),
        ("deliveries", _step(DeliveryRow.id, DeliveryRow.id < oldest)),
        ("complaints", _step(ComplaintRow.id, ComplaintRow.id < oldest, ComplaintRow.state != "open")),
        ("media_checks", _step(MediaCheckRow.trace_id, MediaCheckRow.created_at < before_ms)),
        (
            "conversations",
            _step(ConversationRow.id, ConversationRow.id < oldest, ConversationRow.updated_at < before_ms, ~left),
        ),
    ]


def of_sessions(now_ms: int) -> list[tuple[str, Step]]:
    """Log-ins that have expired, and counters nobody will look at again."""
    yesterday = rates.mark_of(now_ms - DAY_MS)
    return [
        ("sessions", _step(SessionRow.token_hash, SessionRow.expires_at < now_ms)),
        ("staff_sessions", _step(StaffSessionRow.token_hash, StaffSessionRow.expires_at < now_ms)),
        ("silences", _step(SilenceRow.id, SilenceRow.at < now_ms - DAY_MS)),
        ("rates", _step(JobRow.name, JobRow.name.startswith(rates.PREFIX), JobRow.mark < yesterday)),
    ]


def _step(key: Any, *condition: Any, before: Callable[[Connection, list[Any]], None] | None = None) -> Step:
    query = select(key).where(*condition).order_by(key).limit(SLICE)
    row = key.class_

    def clear(connection: Connection) -> int:
        keys = list(connection.execute(query).scalars())
        if keys:
            if before is not None:
                before(connection, keys)
            connection.execute(delete(row).where(key.in_(keys)))
        return len(keys)

    return clear
