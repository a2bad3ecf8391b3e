"""What users think of an answer, and where staff see it."""

from typing import Any, Literal

from sqlalchemy import Connection, update

from core.store import complaints, figures, marks
from core.tables import TurnRow

Rating = Literal["up", "down"]


def rate(connection: Connection, turn: Any, rating: Rating | None, reason: str | None, timezone: str) -> None:
    """Rate a turn (its row), or take that back with None. What is disliked comes to staff's queue."""
    connection.execute(update(TurnRow).where(TurnRow.id == turn.id).values(rating=rating, rating_reason=reason))
    for other in ("up", "down"):
        if other != rating:
            marks.take(connection, other, [turn.id])
    if rating is not None:
        marks.put(connection, rating, turn.id)
    complaints.note_rating(connection, turn, rating, reason, timezone)
    figures.outdate(connection, turn.id)
