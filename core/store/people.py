"""Users, as staff see them: found by any of their names, with what they have asked; blocked, and given a quota."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from core.errors import NotFound
from core.store.users import Quota, counts
from core.tables import ComplaintRow, ConversationRow, IdentityRow, TurnRow, UserRow, time_of

MOST = 50  # users that are found by a beginning
_USER = UserRow.__table__


@dataclass(frozen=True, slots=True)
class Person:
    """A user with everything staff ask about them."""

    id: int
    created_at: int
    blocked: str | None  # the reason
    per_day: int | None  # a quota of their own
    used_today: int
    identities: list[tuple[str, str]]  # appid (or `unionid`) and openid
    turns: int
    conversations: int
    complaints: int
    last_seen: int | None  # when they last asked something


def matching(connection: Connection, name: str, limit: int = MOST) -> list[int]:
    """Users with this number, or an openid, unionid or name of staff's that is or begins with `name`."""
    name = name.strip()
    found: list[int] = []
    if name.isascii() and name.isdigit() and len(name) < 20:
        found += connection.execute(select(UserRow.id).where(UserRow.id == int(name))).scalars()
    if name:
        query = select(IdentityRow.user_id).where(_begins(connection, name)).order_by(IdentityRow.openid).limit(limit)
        found += connection.execute(query).scalars()
    return list(dict.fromkeys(found))[:limit]


def _begins(connection: Connection, name: str) -> ColumnElement[bool]:
    if connection.dialect.name == "sqlite":  # its LIKE knows no upper case, and so no index
        return IdentityRow.openid.between(name, name + "\U0010ffff")
    return IdentityRow.openid.startswith(name, autoescape=True)


def search(connection: Connection, name: str, quota: Quota, limit: int = MOST) -> list[Person]:
    """The users that `matching` finds; without a name, those who came last."""
    ids = matching(connection, name, limit)
    if not name.strip():
        newest = select(UserRow.id).order_by(UserRow.id.desc()).limit(limit)
        ids = list(connection.execute(newest).scalars())
    return _people(connection, ids, quota)


def get(connection: Connection, user_id: int, quota: Quota) -> Person:
    """Raises NotFound."""
    found = _people(connection, [user_id], quota)
    if not found:
        raise NotFound("no such user")
    return found[0]


def blocked(connection: Connection, quota: Quota, limit: int, before: int | None = None) -> list[Person]:
    """Users staff have blocked, the newest first, from those with a number below `before`."""
    query = select(UserRow.id).where(UserRow.blocked.is_not(None)).order_by(UserRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(UserRow.id < before)
    return _people(connection, connection.execute(query).scalars().all(), quota)


def _people(connection: Connection, ids: Sequence[int], quota: Quota) -> list[Person]:
    """These users, in this order."""
    if not ids:
        return []
    rows = {row.id: row for row in connection.execute(select(_USER).where(UserRow.id.in_(ids)))}
    names: dict[int, list[tuple[str, str]]] = {}
    query = select(IdentityRow.user_id, IdentityRow.appid, IdentityRow.openid).where(IdentityRow.user_id.in_(ids))
    for user_id, appid, openid in connection.execute(query.order_by(IdentityRow.appid)):
        names.setdefault(user_id, []).append((appid, openid))
    turns = _counts(connection, TurnRow, ids)
    conversations = _counts(connection, ConversationRow, ids)
    complaints = _counts(connection, ComplaintRow, ids, ComplaintRow.kind == "report")
    nothing = (0, None)
    return [
        Person(
            id=row.id,
            created_at=row.created_at,
            blocked=row.blocked,
            per_day=row.per_day,
            used_today=counts(row, quota)[0],
            identities=names.get(row.id, []),
            turns=turns.get(row.id, nothing)[0],
            conversations=conversations.get(row.id, nothing)[0],
            complaints=complaints.get(row.id, nothing)[0],
            last_seen=time_of(last) if (last := turns.get(row.id, nothing)[1]) is not None else None,
        )
        for row in (rows[user_id] for user_id in ids if user_id in rows)
    ]


def _counts(
    connection: Connection, row: type[Any], ids: Sequence[int], *more: ColumnElement[bool]
) -> dict[int, tuple[int, int | None]]:
    """How many rows of a table each user has, and the latest of them."""
    query = select(row.user_id, func.count(), func.max(row.id)).where(row.user_id.in_(ids), *more)
    return {user_id: (count, last) for user_id, count, last in connection.execute(query.group_by(row.user_id))}


def block(connection: Connection, user_id: int, reason: str) -> None:
    """They can ask nothing any more; raises NotFound."""
    _change(connection, user_id, blocked=reason)


def unblock(connection: Connection, user_id: int) -> None:
    """Raises NotFound."""
    _change(connection, user_id, blocked=None)


def set_per_day(connection: Connection, user_id: int, per_day: int | None) -> None:
    """A quota of their own (0 is unlimited); None: the one of all. Raises NotFound."""
    _change(connection, user_id, per_day=per_day)


def _change(connection: Connection, user_id: int, **values: Any) -> None:
    if connection.execute(update(UserRow).where(UserRow.id == user_id).values(**values)).rowcount == 0:
        raise NotFound("no such user")
