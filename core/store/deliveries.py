"""How answers reached followers of the official account, piece by piece."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from core.tables import DeliveryRow, new_id, now_ms


def add(
    connection: Connection,
    *,
    turn_id: int,
    appid: str,
    openid: str,
    number: int,
    kind: str,
    status: str,
    first_char: int = 0,
    last_char: int = 0,
) -> int:
    """Write down an act of delivery before it happens; returns its id."""
    delivery_id = new_id()
    connection.execute(
        insert(DeliveryRow).values(
            id=delivery_id,
            turn_id=turn_id,
            appid=appid,
            openid=openid,
            number=number,
            kind=kind,
            status=status,
            first_char=first_char,
            last_char=last_char,
            created_at=now_ms(),
        )
    )
    return delivery_id


def settle(connection: Connection, delivery_id: int, before: str, status: str, error: str | None = None) -> bool:
    """Change the status if it still is `before`; False if somebody else was faster."""
    seen = (DeliveryRow.id == delivery_id, DeliveryRow.status == before)
    return connection.execute(update(DeliveryRow).where(*seen).values(status=status, error=error)).rowcount == 1


def of_turn(connection: Connection, turn_id: int) -> Sequence[Any]:
    """Oldest first."""
    query = select(DeliveryRow.__table__).where(DeliveryRow.turn_id == turn_id)
    return connection.execute(query.order_by(DeliveryRow.id)).all()


def latest(connection: Connection, appid: str, openid: str, limit: int) -> Sequence[Any]:
    """What this follower got last, newest first."""
    query = select(DeliveryRow.__table__).where(DeliveryRow.appid == appid, DeliveryRow.openid == openid)
    return connection.execute(query.order_by(DeliveryRow.id.desc()).limit(limit)).all()
