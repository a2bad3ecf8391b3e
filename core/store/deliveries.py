"""Messages of followers, and how far the answer to each has reached them.

A row per message, found by WeChat's name of it: however often and however concurrently a message is delivered, its
reply is decided once, and the same text goes out again. `shown` moves by compare-and-set, so nothing of an answer is
skipped or shown twice, whichever process shows it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, Table, bindparam, func, insert, select, update

from core.errors import ChatError
from core.store import turns
from core.store.turns import Question
from core.store.upsert import insert_if_absent
from core.store.users import Quota
from core.tables import DeliveryRow, id_at, new_id, now_ms

KEPT_MS = 24 * 3600 * 1000  # for so long the rest of an answer can be asked for
LOST_MS = 20_000  # by then WeChat has given up delivering a message
_ROW = cast(Table, DeliveryRow.__table__)
_BY_KEY = select(_ROW).where(DeliveryRow.appid == bindparam("of_app"), DeliveryRow.key == bindparam("of_key"))
_AGAIN = (
    update(DeliveryRow)
    .where(DeliveryRow.appid == bindparam("of_app"), DeliveryRow.key == bindparam("of_key"))
    .values(arrivals=DeliveryRow.arrivals + 1)
)
_INSERT = insert(DeliveryRow)


class AlreadyAnswered(ChatError):
    """The message got its `reply` before."""

    def __init__(self, reply: str) -> None:
        super().__init__("answered before")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Showing:
    """A reply shows a stretch of the answer to a message: from `before` to `end`, and then it is in `state`."""

    row: Any  # of the message whose answer it is, as it was seen
    end: int
    digest: str | None
    state: str


@dataclass
class Arrival:
    """A delivery of a message, as WeChat names it; `row` is what we know of the message once it is received."""

    appid: str
    openid: str
    key: str
    row: Any = field(default=None)
    others: Sequence[Any] = ()  # messages of the same follower whose answers have not been shown to the end
    showing: Showing | None = None  # what its reply shows


def receive(connection: Connection, arrival: Arrival) -> Any:
    """Count a delivery; the message's row."""
    found = _again(connection, arrival)
    if found is None:
        values = _values(arrival, turn_id=None)
        if insert_if_absent(connection, DeliveryRow, **values):
            found = turns.Fresh(values)
        else:
            found = _again(connection, arrival)
    arrival.row = found
    return found


def accept(connection: Connection, asked: Question, quota: Quota, writer: int | None, *, arrival: Arrival) -> Any:
    """Count a delivery of a question; at the first one, store the question with it. Returns the turn's row.

    Raises as `turns.accept` does, and AlreadyAnswered.
    """
    # What was received a moment ago is counted already.
    found = get(connection, arrival.row.id) if arrival.row is not None else _again(connection, arrival)
    if found is not None and found.reply is not None:
        arrival.row = found
        raise AlreadyAnswered(found.reply)
    if found is not None and found.turn_id is not None:
        arrival.row = found
        arrival.others = unfinished(connection, arrival.appid, arrival.openid)
        return turns.get(connection, found.turn_id)
    # The lock on the user's row, taken in there, lets one delivery of a new message through at a time.
    turn = turns.accept(connection, asked, quota, writer)
    arrival.others = unfinished(connection, arrival.appid, arrival.openid)
    if found is not None:
        connection.execute(update(DeliveryRow).where(DeliveryRow.id == found.id).values(turn_id=turn.id))
        arrival.row = get(connection, found.id)
    elif turn.id != asked.id:  # a delivery beside this one has just been faster
        arrival.row = _again(connection, arrival)
    else:
        values = _values(arrival, turn_id=turn.id)
        connection.execute(_INSERT, values)
        arrival.row = turns.Fresh(values)
    return turn


def _again(connection: Connection, arrival: Arrival) -> Any | None:
    values = {"of_app": arrival.appid, "of_key": arrival.key}
    if connection.execute(_AGAIN, values).rowcount == 0:
        return None
    return connection.execute(_BY_KEY, values).first()


def _values(arrival: Arrival, turn_id: int | None) -> dict[str, Any]:
    return {
        "id": new_id(),
        "appid": arrival.appid,
        "key": arrival.key,
        "openid": arrival.openid,
        "turn_id": turn_id,
        "arrivals": 1,
        "reply": None,
        "state": "new",
        "shown": 0,
        "shown_hash": None,
        "shown_at": None,
        "pushed": 0,
        "pusher": None,
        "tries": 0,
        "due": 0,
        "created_at": now_ms(),
    }


def get(connection: Connection, delivery_id: int) -> Any | None:
    return connection.execute(_GET, {"own": delivery_id}).first()


_GET = select(_ROW).where(_ROW.c.id == bindparam("own"))


def digest(text: str) -> str:
    """Names the text that was shown, to see whether another attempt at the answer begins with it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def decide(connection: Connection, delivery_id: int, reply: str, showing: Showing | None = None) -> str | None:
    """Fix what every delivery of a message is answered.

    Returns the reply that holds, which may have been decided before; None, with nothing written, where what is to be
    shown has been shown by somebody else in the meantime.
    """
    own = DeliveryRow.id == delivery_id
    if showing is not None and showing.row.id == delivery_id:
        values = {f"new_{name}": value for name, value in _shown(showing).items()} | {"new_reply": reply}
        values |= {"own": delivery_id, "seen": showing.row.shown, "seen_hash": showing.row.shown_hash or ""}
        if connection.execute(_DECIDE, values).rowcount == 1:
            return reply
        return connection.execute(select(DeliveryRow.reply).where(own)).scalar()
    before: str | None = connection.execute(_REPLY, {"own": delivery_id}).scalar()
    if before is not None:
        return before
    if showing is not None:
        moved = update(DeliveryRow).where(*_unmoved(showing)).values(**_shown(showing))
        if connection.execute(moved).rowcount != 1:
            return None
    statement = _REPLIED if showing is None else _REPLIED_AND_SHOWN
    connection.execute(statement, {"own": delivery_id, "new_reply": reply})
    return reply


_REPLY = select(_ROW.c.reply).where(_ROW.c.id == bindparam("own")).with_for_update()
_REPLIED = update(_ROW).where(_ROW.c.id == bindparam("own")).values(reply=bindparam("new_reply"))
_REPLIED_AND_SHOWN = _REPLIED.values(state="shown")

_DECIDE = (
    update(DeliveryRow)
    .where(
        DeliveryRow.id == bindparam("own"),
        DeliveryRow.reply.is_(None),
        DeliveryRow.shown == bindparam("seen"),
        func.coalesce(DeliveryRow.shown_hash, "") == bindparam("seen_hash"),
        DeliveryRow.pusher.is_(None),
    )
    .values(
        reply=bindparam("new_reply"),
        shown=bindparam("new_shown"),
        shown_hash=bindparam("new_shown_hash"),
        state=bindparam("new_state"),
        shown_at=bindparam("new_shown_at"),
        due=bindparam("new_due"),
    )
)


def take_back(connection: Connection, arrival: Arrival, reply: str) -> bool:
    """The reply to a delivery came too late to be seen: what it showed has not been shown.

    False where more was shown since, or where WeChat has delivered the message again: the same reply is seen then.
    """
    showing, row = arrival.showing, arrival.row
    if showing is None:
        return False
    same = (DeliveryRow.id == row.id, DeliveryRow.arrivals == row.arrivals, DeliveryRow.reply == reply)
    if connection.execute(select(DeliveryRow.id).where(*same).with_for_update()).first() is None:
        return False
    unmoved = (DeliveryRow.id == showing.row.id, DeliveryRow.shown == showing.end, DeliveryRow.pusher.is_(None))
    before = {"shown": showing.row.shown, "shown_hash": showing.row.shown_hash, "state": showing.row.state}
    if connection.execute(update(DeliveryRow).where(*unmoved).values(**before)).rowcount != 1:
        return False
    connection.execute(update(DeliveryRow).where(DeliveryRow.id == row.id).values(reply=None))
    return True


def _unmoved(showing: Showing) -> tuple[Any, ...]:
    row = showing.row
    same = DeliveryRow.shown_hash.is_(None) if row.shown_hash is None else DeliveryRow.shown_hash == row.shown_hash
    return DeliveryRow.id == row.id, DeliveryRow.shown == row.shown, same, DeliveryRow.pusher.is_(None)


def _shown(showing: Showing) -> dict[str, Any]:
    now = now_ms()
    # What is pushed must not overtake the reply it follows.
    due = now + 1000 if showing.state == "push" and showing.end > showing.row.shown else 0
    return {
        "shown": showing.end,
        "shown_hash": showing.digest,
        "state": showing.state,
        "shown_at": now,
        "due": due,
    }


def set_state(connection: Connection, delivery_id: int, before: Sequence[str], state: str, **values: Any) -> bool:
    """False if it was in none of the states `before`."""
    changed = update(DeliveryRow).where(DeliveryRow.id == delivery_id, DeliveryRow.state.in_(before))
    return connection.execute(changed.values(state=state, **values)).rowcount == 1


def unfinished(connection: Connection, appid: str, openid: str) -> Sequence[Any]:
    """Messages of a follower whose answers have not been shown to the end, oldest first."""
    values = {"of_app": appid, "of_open": openid, "since": id_at(now_ms() - KEPT_MS)}
    return connection.execute(_UNFINISHED, values).all()


_UNFINISHED = (
    select(_ROW)
    .where(
        DeliveryRow.appid == bindparam("of_app"),
        DeliveryRow.openid == bindparam("of_open"),
        DeliveryRow.id >= bindparam("since"),
        DeliveryRow.turn_id.is_not(None),
        DeliveryRow.state != "shown",
    )
    .order_by(DeliveryRow.id)
)


def latest_question(connection: Connection, appid: str, openid: str) -> int | None:
    """The last message of a follower that was a question."""
    query = select(DeliveryRow.id).where(
        DeliveryRow.appid == appid, DeliveryRow.openid == openid, DeliveryRow.turn_id.is_not(None)
    )
    return connection.execute(query.order_by(DeliveryRow.id.desc()).limit(1)).scalar()


def forget(connection: Connection, appid: str, openid: str) -> None:
    """What is left of a follower's answers is not to be shown any more."""
    theirs = (DeliveryRow.appid == appid, DeliveryRow.openid == openid, DeliveryRow.state != "shown")
    connection.execute(update(DeliveryRow).where(*theirs).values(state="shown"))


def drop(connection: Connection, turn_id: int) -> None:
    """The rest of a turn's answer is not to be shown."""
    connection.execute(update(DeliveryRow).where(DeliveryRow.turn_id == turn_id).values(state="shown"))
