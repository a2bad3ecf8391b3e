"""What turns are found by, kept in step with them: their grams and marks.

The indexer (`core/indexing.py`) enters turns some time after they were asked, in the order of their ids. A turn that
is not over by then is marked `open` and entered later. Whoever empties or deletes turns takes them out in the same
transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from core.store import complaints, grams, marks
from core.store.turns import OPEN
from core.store.upsert import insert_if_absent
from core.tables import JobRow, TurnRow, id_at, now_ms

JOB = "turn index"  # its mark: every turn up to this id has been looked at
LATE_MS = 60_000  # an id is made before its row is seen, and the clocks of two machines differ
NEWS_MS = 7 * 86_400_000  # what was blocked longer ago is no news to staff

_COLUMNS = (
    *grams.COLUMNS,
    TurnRow.status,
    TurnRow.version,
    TurnRow.hits,
    TurnRow.prompt_version,
    TurnRow.first_token_ms,
    TurnRow.duration_ms,
)


@dataclass(frozen=True, slots=True)
class Slice:
    """Turns to be entered next: read without a lock, then entered with one."""

    turns: Sequence[Any]
    entries: Mapping[int, grams.Entry]  # of those that are over
    after: int
    upto: int  # the mark afterwards


def reached(connection: Connection) -> int:
    """The id up to which every turn has been looked at."""
    return connection.execute(select(JobRow.mark).where(JobRow.name == JOB)).scalar() or 0


def next_slice(connection: Connection, limit: int) -> Slice:
    """Turns that are over at last, else those after the ones that were looked at; at most `limit` of them."""
    after = reached(connection)
    waiting = marks.find(connection, "open", 0, after + 1, 10 * limit)
    if waiting:
        over = select(*_COLUMNS).where(TurnRow.id.in_(waiting), TurnRow.status.not_in(OPEN)).limit(limit)
        if turns := connection.execute(over).all():
            return _slice(connection, turns, after, after)
    fresh = select(*_COLUMNS).where(TurnRow.id > after, TurnRow.id < id_at(now_ms() - LATE_MS))
    turns = connection.execute(fresh.order_by(TurnRow.id).limit(limit)).all()
    return _slice(connection, turns, after, turns[-1].id if turns else after)


def _slice(connection: Connection, turns: Sequence[Any], after: int, upto: int) -> Slice:
    entries = {turn.id: grams.entry(connection, turn) for turn in turns if turn.status not in OPEN}
    return Slice(turns, entries, after, upto)


def enter(connection: Connection, piece: Slice, timezone: str) -> bool:
    """Enter a slice; False if another process has just been faster."""
    if piece.upto > piece.after:
        insert_if_absent(connection, JobRow, name=JOB, mark=0)
        moved = update(JobRow).where(JobRow.name == JOB, JobRow.mark == piece.after).values(mark=piece.upto)
        if connection.execute(moved).rowcount != 1:
            return False
    ids = [turn.id for turn in piece.turns]
    # Locked: nobody erases them until they are in, and can be taken out.
    heads = select(TurnRow.id, TurnRow.version).where(TurnRow.id.in_(ids)).with_for_update()
    unchanged = {tuple(head) for head in connection.execute(heads)}
    known = marks.indexed(connection, piece.turns)
    there = {turn_id for turn_id, _ in unchanged}
    over = [
        turn
        for turn in piece.turns
        if turn.id in piece.entries and turn.id not in known and (turn.id, turn.version) in unchanged
    ]
    later = there - known - {turn.id for turn in over}  # still being written, or changed since they were read
    marks.take(connection, "open", there - later)
    for turn_id in sorted(later):
        marks.put(connection, "open", turn_id)
    marks.put_all(connection, [(mark, turn.id) for turn in over for mark in marks.of(turn)])
    grams.add(connection, [piece.entries[turn.id] for turn in over])
    news = id_at(now_ms() - NEWS_MS)
    for turn in over:
        if turn.status == "blocked" and turn.id > news:
            complaints.note_blocked(connection, turn.id, timezone)
    return True


def empty(connection: Connection, turn_ids: Sequence[int]) -> None:
    """The texts of these turns are about to be erased; how they ended and what they took may still be counted."""
    for mark in ("noted", "masked"):
        marks.take(connection, mark, turn_ids)
    grams.remove(connection, _indexed(connection, turn_ids))


def leave(connection: Connection, turn_ids: Sequence[int]) -> None:
    """These turns are about to be deleted."""
    turns = _indexed(connection, turn_ids)
    grams.remove(connection, turns)
    # What was masked is not known any more of a turn that was erased.
    marked: dict[str, list[int]] = {mark: list(turn_ids) for mark in (*marks.LATER, "masked", "open")}
    for turn in turns:
        for mark in marks.of(turn):
            marked.setdefault(mark, []).append(turn.id)
    marks.take_all(connection, marked)


def _indexed(connection: Connection, turn_ids: Sequence[int]) -> list[Any]:
    query = select(*_COLUMNS).where(TurnRow.id.in_(turn_ids)).with_for_update()
    turns = connection.execute(query).all()
    known = marks.indexed(connection, turns)
    return [turn for turn in turns if turn.id in known]
