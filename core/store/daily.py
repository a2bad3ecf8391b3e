"""Who asked something on which day: for counting people, per day, week and month."""

import secrets
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from core.tables import DailyUserRow

_ROW = DailyUserRow.__table__
Visit = tuple[int, int, str]  # day, user id, channel


def put(connection: Connection, visits: Iterable[Visit]) -> None:
    """Enter visits; those known already are left as they are."""
    missing = set(visits)
    for day in {visit[0] for visit in missing}:
        users = [visit[1] for visit in missing if visit[0] == day]
        known = select(_ROW).where(DailyUserRow.day == day, DailyUserRow.user_id.in_(users))
        missing -= {(row.day, row.user_id, row.channel) for row in connection.execute(known)}
    if missing:
        rows = [{"day": day, "user_id": user, "channel": channel} for day, user, channel in sorted(missing)]
        connection.execute(insert(DailyUserRow), rows)


def count(connection: Connection, first: int, last: int, without: Iterable[str] = ()) -> int:
    """How many people asked something from the day `first` to the day `last`."""
    query = select(func.count(DailyUserRow.user_id.distinct())).where(DailyUserRow.day.between(first, last))
    return int(connection.execute(_not_on(query, without)).scalar_one())


def by_day(connection: Connection, first: int, last: int, without: Iterable[str] = ()) -> dict[int, int]:
    """How many people asked something on each day; days on which nobody did are left out."""
    different = func.count(DailyUserRow.user_id.distinct())
    query = select(DailyUserRow.day, different).where(DailyUserRow.day.between(first, last))
    counted = connection.execute(_not_on(query, without).group_by(DailyUserRow.day))
    return {day: people for day, people in counted}


def users(connection: Connection, first: int, last: int, without: Iterable[str] = ()) -> set[int]:
    """The people who asked something from the day `first` to the day `last`."""
    query = select(DailyUserRow.user_id).distinct().where(DailyUserRow.day.between(first, last))
    return set(connection.execute(_not_on(query, without)).scalars().all())


def _not_on(query: Any, channels: Iterable[str]) -> Any:
    left_out = list(channels)
    return query.where(DailyUserRow.channel.not_in(left_out)) if left_out else query


def merge(connection: Connection, user_id: int, into: int) -> None:
    """The visits of one user become those of another."""
    theirs = select(_ROW).where(DailyUserRow.user_id == user_id)
    visits = [(row.day, into, row.channel) for row in connection.execute(theirs)]
    connection.execute(delete(DailyUserRow).where(DailyUserRow.user_id == user_id))
    put(connection, visits)


def forget_user(connection: Connection, user_id: int) -> None:
    """Somebody was there, and nobody can say who."""
    nobody = -secrets.randbits(62)
    connection.execute(update(DailyUserRow).where(DailyUserRow.user_id == user_id).values(user_id=nobody))
