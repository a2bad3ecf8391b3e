"""Followers of the official account: whom we show that we type, and how one who leaves is forgotten."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Connection, Table, and_, bindparam, delete, select, update

from core.store import erasure, remnants, turns
from core.store.upsert import insert_if_absent
from core.store.users import UNIONID
from core.tables import ConversationRow, DeliveryRow, FollowerRow, IdentityRow, TurnRow, UserRow, id_at, now_ms


def claim_typing(connection: Connection, appid: str, openid: str, now: int, every_ms: int) -> bool:
    """Whether a follower may be shown now that we type: it lasts a while and must not be doubled."""
    values = {"of_app": appid, "of_open": openid, "before": now - every_ms, "now": now}
    if connection.execute(_TYPES, values).rowcount == 1:
        return True
    return insert_if_absent(connection, FollowerRow, appid=appid, openid=openid, typing_at=now)


_TABLE = cast(Table, FollowerRow.__table__)
_FOLLOWER = _TABLE.c
_THEIRS = and_(_FOLLOWER.appid == bindparam("of_app"), _FOLLOWER.openid == bindparam("of_open"))
_TYPES = update(_TABLE).where(_THEIRS, _FOLLOWER.typing_at <= bindparam("before")).values(typing_at=bindparam("now"))
_TYPES_NO_MORE = update(_TABLE).where(_THEIRS).values(typing_at=0)


def typing_ended(connection: Connection, appid: str, openid: str) -> None:
    """A message ends it."""
    connection.execute(_TYPES_NO_MORE, {"of_app": appid, "of_open": openid})


def being_written(connection: Connection, appid: str, before: int, limit: int) -> Sequence[str]:
    """Followers (openid) who wait for an answer that is pushed or will be, and were not shown typing lately."""
    query = (
        select(DeliveryRow.openid)
        .join(TurnRow, TurnRow.id == DeliveryRow.turn_id)
        .join(FollowerRow, and_(FollowerRow.appid == DeliveryRow.appid, FollowerRow.openid == DeliveryRow.openid))
        .where(DeliveryRow.appid == appid, DeliveryRow.state == "push", TurnRow.status.in_(turns.OPEN))
        .where(FollowerRow.typing_at <= before, DeliveryRow.id >= id_at(now_ms() - 600_000))
        .distinct()
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def is_known_elsewhere(connection: Connection, appid: str, user_id: int) -> bool:
    """Whether a user of this account comes to another of our apps as well."""
    here = (appid, UNIONID)
    query = select(IdentityRow.appid).where(IdentityRow.user_id == user_id, IdentityRow.appid.not_in(here)).limit(1)
    return connection.execute(query).first() is not None


def erase(connection: Connection, appid: str, user_id: int, channel: str) -> list[int]:
    """Forget what a user said and was told on this channel, and who they are there; the turns being written.

    These end here and now: a writer that finishes later finds that the turn is not its own any more.
    """
    user = connection.execute(select(UserRow.__table__).where(UserRow.id == user_id).with_for_update()).first()
    if user is None:
        return []
    named = select(IdentityRow.openid).where(IdentityRow.user_id == user_id, IdentityRow.appid == appid)
    openids = list(connection.execute(named).scalars())
    remnants.keep(connection, user, [(appid, openid) for openid in openids])
    for row in (DeliveryRow, FollowerRow, IdentityRow):
        connection.execute(delete(row).where(row.appid == appid, row.openid.in_(openids)))
    theirs = (TurnRow.user_id == user_id, TurnRow.channel == channel)
    running = list(connection.execute(select(TurnRow.id).where(*theirs, TurnRow.status.in_(turns.OPEN))).scalars())
    ended = update(TurnRow).where(TurnRow.id.in_(running)).values(status="stopped", writer=None, finished_at=now_ms())
    if running:
        connection.execute(ended.values(attempt=TurnRow.attempt + 1))
    emptied = update(TurnRow).where(*theirs).values(version=TurnRow.version + 1, **erasure.NOTHING)
    connection.execute(emptied)
    talks = (ConversationRow.user_id == user_id, ConversationRow.channel == channel)
    connection.execute(delete(ConversationRow).where(*talks))
    return running


def erase_unknown(connection: Connection, appid: str, openid: str) -> None:
    """Of somebody who never asked anything: the messages they sent."""
    for row in (DeliveryRow, FollowerRow):
        connection.execute(delete(row).where(row.appid == appid, row.openid == openid))
