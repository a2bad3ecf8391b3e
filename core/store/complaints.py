"""The staff's queue: complaints of users, and answers that somebody should look at for another reason.

An entry is `open` until staff close it. It holds a copy of the question and the answer, so that it can be judged
even if its user has everything erased meanwhile; closed, the copy of an erased user goes too.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import Connection, delete, func, or_, select, update

from core.errors import NotFound, Unauthorized
from core.store import marks
from core.store.upsert import insert_if_absent
from core.tables import ComplaintRow, TurnRow, UserRow, new_id, now_ms

# A user's complaint; WeChat's check is not sure; a user did not like the answer; it was withheld.
Kind = Literal["report", "review", "disliked", "blocked"]
MAX_REASON_CHARS = 1000
CONSOLE = "console"  # the channel of staff
_COMPLAINT = ComplaintRow.__table__


def report(
    connection: Connection, user_id: int, turn: Any | None, reason: str, *, channel: str, timezone: str
) -> tuple[str, bool]:
    """A user complains, about a turn's row or (None) about the service; the receipt number, and whether it is new.

    As long as the complaint about a turn is open, complaining again adds the new reason to it.
    """
    # The user's row is the lock: two clicks make one complaint.
    if connection.execute(select(UserRow.id).where(UserRow.id == user_id).with_for_update()).first() is None:
        raise Unauthorized("no such user")
    if turn is not None:
        same = (ComplaintRow.turn_id == turn.id, ComplaintRow.user_id == user_id, ComplaintRow.kind == "report")
        query = select(_COMPLAINT).where(*same, ComplaintRow.state == "open")
        if (before := connection.execute(query).first()) is not None:
            told = f"{before.reason}\n{reason}"
            if reason not in before.reason.split("\n") and len(told) <= MAX_REASON_CHARS:
                connection.execute(update(ComplaintRow).where(ComplaintRow.id == before.id).values(reason=told))
            return str(before.receipt), False
        marks.put(connection, "reported", turn.id)
    return _add(connection, "report", user_id, turn, reason, channel, timezone), True


def ask_for_review(connection: Connection, turn_id: int, reason: str, timezone: str) -> None:
    """A human should look at this turn; once per turn, however often it is said."""
    turn = connection.execute(select(TurnRow.__table__).where(TurnRow.id == turn_id).with_for_update()).first()
    if turn is None or turn.user_id is None:
        return  # erased meanwhile
    _add_once(connection, "review", turn, reason, timezone)


def note_blocked(connection: Connection, turn_id: int, timezone: str) -> None:
    """This turn's answer was withheld; what staff ask to try something is no news to them."""
    turn = connection.execute(select(TurnRow.__table__).where(TurnRow.id == turn_id)).one()
    if turn.user_id is not None and turn.channel != CONSOLE:
        words = [hit["word"] for hit in orjson.loads(turn.hits or "[]") if hit.get("action") == "block"]
        _add_once(connection, "blocked", turn, "、".join(dict.fromkeys(words)), timezone)


def note_rating(connection: Connection, turn: Any, rating: str | None, reason: str | None, timezone: str) -> None:
    """A user rates a turn: what they dislike is looked at, unless they take it back before."""
    mine = (ComplaintRow.turn_id == turn.id, ComplaintRow.kind == "disliked")
    if rating == "down":
        _add_once(connection, "disliked", turn, reason or "", timezone)
        still_open = update(ComplaintRow).where(*mine, ComplaintRow.state == "open")
        connection.execute(still_open.values(reason=reason or ""))
    else:
        connection.execute(delete(ComplaintRow).where(*mine, ComplaintRow.state == "open"))


def _add_once(connection: Connection, kind: Kind, turn: Any, reason: str, timezone: str) -> None:
    known = select(ComplaintRow.id).where(ComplaintRow.turn_id == turn.id, ComplaintRow.kind == kind)
    if connection.execute(known).first() is None:
        _add(connection, kind, turn.user_id, turn, reason, turn.channel, timezone)


def _add(
    connection: Connection, kind: Kind, user_id: int, turn: Any | None, reason: str, channel: str, timezone: str
) -> str:
    day = datetime.now(ZoneInfo(timezone)).strftime("%Y%m%d")
    values: dict[str, Any] = {
        "kind": kind,
        "state": "open",
        "channel": channel,
        "user_id": user_id,
        "turn_id": turn.id if turn is not None else None,
        "reason": reason,
        "question": turn.question if turn is not None else "",
        "answer": turn.answer if turn is not None else "",
        "note": "",
        "created_at": now_ms(),
    }
    while True:
        receipt = f"{day}{secrets.randbelow(10**6):06}"
        if insert_if_absent(connection, ComplaintRow, id=new_id(), receipt=receipt, **values):
            return receipt


def page(
    connection: Connection,
    limit: int,
    *,
    kind: Kind | None = None,  # None: all
    state: str | None = None,
    before: int | None = None,
) -> Sequence[Any]:
    """Newest first, from those older than id `before`."""
    query = select(_COMPLAINT)
    if kind is not None:
        query = query.where(ComplaintRow.kind == kind)
    if state is not None:
        query = query.where(ComplaintRow.state == state)
    if before is not None:
        query = query.where(ComplaintRow.id < before)
    return connection.execute(query.order_by(ComplaintRow.id.desc()).limit(limit)).all()


def get(connection: Connection, complaint_id: int) -> Any:
    """An entry's row; raises NotFound."""
    row = connection.execute(select(_COMPLAINT).where(ComplaintRow.id == complaint_id)).first()
    if row is None:
        raise NotFound("no such complaint")
    return row


def count_open(connection: Connection) -> int:
    return sum(open_by_kind(connection).values())


def open_by_kind(connection: Connection) -> dict[str, int]:
    """How many entries of each kind wait for staff."""
    query = select(ComplaintRow.kind, func.count()).where(ComplaintRow.state == "open").group_by(ComplaintRow.kind)
    return {kind: count for kind, count in connection.execute(query)}


def close(connection: Connection, complaint_id: int, staff: str, note: str) -> bool:
    """Staff are done with it; False if somebody was before. Nothing is kept of a user who was erased."""
    own = (ComplaintRow.id == complaint_id,)
    row = connection.execute(select(_COMPLAINT).where(*own).with_for_update()).first()
    if row is None:
        raise NotFound("no such complaint")
    if row.state != "open":
        return False
    done: dict[str, Any] = {"state": "done", "closed_by": staff, "closed_at": now_ms(), "note": note}
    if row.user_id is None:
        done |= _EMPTY
    connection.execute(update(ComplaintRow).where(*own).values(**done))
    return True


def let_go(connection: Connection, user_id: int) -> None:
    """A user is erased: open complaints keep their copy without a name, closed ones nothing."""
    theirs = ComplaintRow.user_id == user_id
    finished = or_(ComplaintRow.state != "open", ComplaintRow.kind != "report")
    connection.execute(update(ComplaintRow).where(theirs, finished).values(user_id=None, state="done", **_EMPTY))
    connection.execute(update(ComplaintRow).where(theirs).values(user_id=None))


_EMPTY = {"reason": "", "question": "", "answer": "", "note": ""}
