"""A turn as staff look at it: the conversation around it, everything known of it, and what staff think of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, select, update

from core.errors import Conflict, NotFound
from core.store import marks, turns
from core.tables import ComplaintRow, ConversationRow, DeliveryRow, IdentityRow, TurnRow, now_ms

AROUND = 50  # turns of its conversation before it, and after it
_TURN = TurnRow.__table__


@dataclass(frozen=True, slots=True)
class Told:
    """A turn's whole row, with the messages its answer reached a follower by, and what the queue has about it."""

    turn: Any
    deliveries: Sequence[Any]  # whole rows; `shown` of len(turn.answer) characters were shown
    complaints: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Transcript:
    """The conversation around a turn, oldest first."""

    turns: list[Told]
    conversation: Any | None  # its row, if there is one
    identities: Sequence[Any]  # rows of the user's
    earlier: bool  # whether there is more before
    later: bool


def transcript(connection: Connection, turn_id: int) -> Transcript:
    """Everything known about a turn and those around it; raises NotFound."""
    turn = turns.get(connection, turn_id)
    rows, earlier, later, conversation = [turn], False, False, None
    if turn.conversation_id is not None:
        own = select(_TURN).where(TurnRow.conversation_id == turn.conversation_id)
        before = own.where(TurnRow.id < turn_id, TurnRow.seq <= turn.seq).order_by(
            TurnRow.seq.desc(), TurnRow.id.desc()
        )
        after = own.where(TurnRow.id > turn_id, TurnRow.seq >= turn.seq).order_by(TurnRow.seq, TurnRow.id)
        head = connection.execute(before.limit(AROUND + 1)).all()
        tail = connection.execute(after.limit(AROUND + 1)).all()
        earlier, later = len(head) > AROUND, len(tail) > AROUND
        rows = [*reversed(head[:AROUND]), turn, *tail[:AROUND]]
        query = select(ConversationRow.__table__).where(ConversationRow.id == turn.conversation_id)
        conversation = connection.execute(query).first()
    ids = [row.id for row in rows]
    deliveries = _by_turn(connection, DeliveryRow, ids)
    complaints = _by_turn(connection, ComplaintRow, ids)
    identities: Sequence[Any] = ()
    if turn.user_id is not None:
        theirs = select(IdentityRow.__table__).where(IdentityRow.user_id == turn.user_id)
        identities = connection.execute(theirs).all()
    told = [Told(row, deliveries.get(row.id, []), complaints.get(row.id, [])) for row in rows]
    return Transcript(told, conversation, identities, earlier, later)


def _by_turn(connection: Connection, row: type[Any], turn_ids: Sequence[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for one in connection.execute(select(row.__table__).where(row.turn_id.in_(turn_ids)).order_by(row.id)):
        found.setdefault(one.turn_id, []).append(one)
    return found


def annotate(
    connection: Connection,
    turn_id: int,
    staff: str,
    *,
    note: str | None,
    score: int | None,
    better_answer: str | None,
    seen: int | Literal["any"] | None = "any",
) -> None:
    """Keep what a member of staff thinks of a turn, in place of what was thought before; raises NotFound.

    Nothing at all (None or empty, three times) takes the review back. `seen` is `reviewed_at` of the review that
    stood there when they began; where another has come since, Conflict is raised and nothing changed.
    """
    review = {"note": note or None, "score": score, "better_answer": better_answer or None}
    given = any(value is not None for value in review.values())
    signed = {"reviewed_by": staff if given else None, "reviewed_at": now_ms() if given else None}
    # An erased turn keeps no words of staff's either: they may say what it was about.
    own = (TurnRow.id == turn_id, TurnRow.user_id.is_not(None))
    now = connection.execute(select(TurnRow.reviewed_at).where(*own).with_for_update()).first()
    if now is None:
        raise NotFound("no such turn, or its user has had it erased")
    if seen not in ("any", now.reviewed_at):
        raise Conflict("somebody has reviewed it meanwhile")
    connection.execute(update(TurnRow).where(*own).values(**review, **signed))
    if given:
        marks.put(connection, "noted", turn_id)
    else:
        marks.take(connection, "noted", [turn_id])
