"""Work on followers' messages beside their deliveries: pieces to be pushed, voices to be heard.

Whoever does it puts its process id into `pusher` first; a process that died loses its claim.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, or_, select, update

from core.store import turns
from core.store.deliveries import LOST_MS
from core.tables import DeliveryRow, ProcessRow, TurnRow

GIVEN_UP_MS = 600_000  # so long after it nobody expects a message any more
_ROW = DeliveryRow.__table__


def claim_hearing(connection: Connection, delivery_id: int, process_id: int) -> bool:
    """Whether this process is to find out what a voice message says; taken over from one that died."""
    alive = select(ProcessRow.id).where(ProcessRow.id == DeliveryRow.pusher).exists()
    free = or_(DeliveryRow.pusher.is_(None), ~alive)
    unheard = (DeliveryRow.id == delivery_id, DeliveryRow.turn_id.is_(None), DeliveryRow.reply.is_(None))
    claimed = update(DeliveryRow).where(*unheard, free).values(pusher=process_id)
    return connection.execute(claimed.execution_options(synchronize_session=False)).rowcount == 1


def to_push(
    connection: Connection, appid: str, now: int, later_than: int, process_id: int, limit: int
) -> Sequence[Any]:
    """Messages whose answers are to be pushed now: finished ones, and those asked before `later_than`.

    Messages WeChat has given up delivering come to be pushed, too. What `process_id` itself has claimed is among
    them: it knows best whether it still is at it.
    """
    alive = select(ProcessRow.id).where(ProcessRow.id == DeliveryRow.pusher).exists()
    waiting = or_(
        DeliveryRow.state == "push",
        and_(DeliveryRow.state == "new", DeliveryRow.created_at.between(now - GIVEN_UP_MS, now - LOST_MS)),
    )
    ready = or_(TurnRow.status.not_in(turns.OPEN), and_(DeliveryRow.pushed == 0, DeliveryRow.created_at < later_than))
    query = (
        select(_ROW)
        .join(TurnRow, TurnRow.id == DeliveryRow.turn_id)
        .where(DeliveryRow.appid == appid, waiting, DeliveryRow.due <= now, ready)
        .where(or_(DeliveryRow.pusher.is_(None), DeliveryRow.pusher == process_id, ~alive))
        .order_by(DeliveryRow.id)
        .limit(limit)
    )
    return connection.execute(query).all()


def claim_push(connection: Connection, row: Any, process_id: int) -> bool:
    """Take the next piece of an answer to send it; False if somebody else has."""
    free = DeliveryRow.pusher.is_(None) if row.pusher is None else DeliveryRow.pusher == row.pusher
    unmoved = (DeliveryRow.id == row.id, DeliveryRow.shown == row.shown, DeliveryRow.pushed == row.pushed)
    claimed = update(DeliveryRow).where(*unmoved, free, DeliveryRow.state == row.state)
    return connection.execute(claimed.values(pusher=process_id, state="push")).rowcount == 1


def end_push(connection: Connection, delivery_id: int, process_id: int, **values: Any) -> bool:
    """Record what became of a claimed piece and let go of it."""
    mine = (DeliveryRow.id == delivery_id, DeliveryRow.pusher == process_id)
    return connection.execute(update(DeliveryRow).where(*mine).values(pusher=None, **values)).rowcount == 1


def stop_pushing(connection: Connection, appid: str) -> int:
    """Leave all that was to be pushed to the followers' next messages; how many answers that are."""
    waiting = (DeliveryRow.appid == appid, DeliveryRow.state == "push", DeliveryRow.pusher.is_(None))
    return connection.execute(update(DeliveryRow).where(*waiting).values(state="rest")).rowcount
