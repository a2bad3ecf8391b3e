"""People: their identities in our apps, their log-ins, and what their quota has counted."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.orm import aliased

from core.errors import QuotaExceeded, Unauthorized
from core.store import daily, remnants
from core.store.upsert import insert_if_absent
from core.tables import ComplaintRow, ConversationRow, IdentityRow, SessionRow, TurnRow, UserRow, new_id, now_ms

UNIONID = "unionid"  # stands where an appid would: a UnionID is one more identity


def sign_in(connection: Connection, appid: str, openid: str, unionid: str | None = None) -> int:
    """The user behind an identity, made at the first sight of it.

    A UnionID that appears later makes one user of two: WeChat gives the mini-program and the official account
    different openids for the same person.
    """
    user_id = _owner(connection, appid, openid)
    if unionid:
        united = _owner(connection, UNIONID, unionid)
        if united is not None and user_id is not None and united != user_id:
            merge(connection, user_id, united)
        user_id = united or user_id
    identities = [(app, name) for app, name in ((appid, openid), (UNIONID, unionid)) if name]
    if fresh := user_id is None or not _locked(connection, user_id):
        user_id = new_id()
        known = remnants.carried_over(connection, identities)
        connection.execute(insert(UserRow).values(id=user_id, created_at=now_ms(), **known))
    for app, name in identities:
        if not insert_if_absent(connection, IdentityRow, appid=app, openid=name, user_id=user_id):
            # The identity was there, or another process has just been faster: theirs it is.
            owner = _owner(connection, app, name)
            if owner is not None and owner != user_id:
                if fresh and (app, name) == identities[0]:  # nothing is theirs yet: what was counted counts once
                    connection.execute(delete(UserRow).where(UserRow.id == user_id))
                else:
                    merge(connection, user_id, owner)
                user_id = owner
    return user_id


def of_identity(connection: Connection, appid: str, openid: str) -> int | None:
    """The user behind an identity, if there is one yet."""
    return _owner(connection, appid, openid)


def openid_of(connection: Connection, user_id: int, appid: str) -> str | None:
    """How an app knows a user, if they have been there."""
    query = select(IdentityRow.openid).where(IdentityRow.user_id == user_id, IdentityRow.appid == appid)
    return connection.execute(query).scalar()


def _locked(connection: Connection, user_id: int) -> bool:
    """Keep a user from being erased until we are done; False if that has just happened."""
    return connection.execute(select(UserRow.id).where(UserRow.id == user_id).with_for_update()).first() is not None


def _owner(connection: Connection, appid: str, openid: str) -> int | None:
    return connection.execute(_OWNER, {"of_app": appid, "of_open": openid}).scalar()


_OWNER = select(IdentityRow.user_id).where(
    IdentityRow.appid == bindparam("of_app"), IdentityRow.openid == bindparam("of_open")
)


def merge(connection: Connection, user_id: int, into: int) -> None:
    """Give everything of one user to another, and delete the first."""
    both = select(UserRow.__table__).where(UserRow.id.in_((user_id, into))).order_by(UserRow.id).with_for_update()
    found = {row.id: row for row in connection.execute(both)}
    if user_id not in found or into not in found:
        return  # another process has just done it, or has erased one of them
    old, new = found[user_id], found[into]
    same_day, same_minute = old.day == new.day, old.minute == new.minute
    connection.execute(
        update(UserRow)
        .where(UserRow.id == into)
        .values(
            blocked=new.blocked or old.blocked,
            per_day=new.per_day if new.per_day is not None else old.per_day,
            day=max(old.day, new.day),
            day_count=old.day_count + new.day_count if same_day else max(old, new, key=lambda u: u.day).day_count,
            minute=max(old.minute, new.minute),
            minute_count=old.minute_count + new.minute_count
            if same_minute
            else max(old, new, key=lambda u: u.minute).minute_count,
        )
    )
    theirs = aliased(TurnRow)
    clash = (TurnRow.user_id == user_id, theirs.user_id == into, theirs.request_key == TurnRow.request_key)
    for turn_id in connection.execute(select(TurnRow.id).where(*clash)).scalars().all():
        connection.execute(update(TurnRow).where(TurnRow.id == turn_id).values(request_key=None))
    for row in (TurnRow, ConversationRow, IdentityRow, SessionRow, ComplaintRow):
        connection.execute(update(row).where(row.user_id == user_id).values(user_id=into))
    daily.merge(connection, user_id, into)
    connection.execute(delete(UserRow).where(UserRow.id == user_id))


def open_session(connection: Connection, user_id: int, days: float) -> tuple[str, int]:
    """A new session token of a user and its lifetime in seconds; only the token's hash is stored."""
    token, seconds, now = secrets.token_urlsafe(32), int(days * 86400), now_ms()
    connection.execute(
        insert(SessionRow).values(
            token_hash=_hash(token), user_id=user_id, created_at=now, expires_at=now + seconds * 1000
        )
    )
    return token, seconds


_SESSION = (
    select(SessionRow.user_id, SessionRow.expires_at, UserRow.blocked)
    .join(UserRow, UserRow.id == SessionRow.user_id)
    .where(SessionRow.token_hash == bindparam("hash"))
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request; `blocked` is the reason where staff have blocked them."""

    user_id: int
    blocked: str | None


def caller(connection: Connection, token: str) -> Caller:
    """The user of a session token; raises `Unauthorized` for a token that is unknown, revoked or expired."""
    row = connection.execute(_SESSION, {"hash": _hash(token)}).first()
    if row is None or row.expires_at < now_ms():
        raise Unauthorized("no such session")
    return Caller(row.user_id, row.blocked)


def caller_by_identity(connection: Connection, appid: str, openid: str, unionid: str | None) -> Caller | None:
    """The user of an identity somebody vouches for; None if it has to `sign_in` first."""
    theirs = and_(IdentityRow.appid == appid, IdentityRow.openid == openid)
    if unionid:
        theirs = or_(theirs, and_(IdentityRow.appid == UNIONID, IdentityRow.openid == unionid))
    query = select(IdentityRow.user_id, UserRow.blocked).join(UserRow, UserRow.id == IdentityRow.user_id)
    rows = connection.execute(query.where(theirs)).all()
    if len(rows) != (2 if unionid else 1) or len({row.user_id for row in rows}) != 1:
        return None
    return Caller(rows[0].user_id, rows[0].blocked)


def close_session(connection: Connection, token: str) -> None:
    """Revoke a session token, everywhere, at once."""
    connection.execute(delete(SessionRow).where(SessionRow.token_hash == _hash(token)))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Quota:
    """Questions a user may ask per minute and per day of `timezone`; 0 is unlimited."""

    per_minute: int
    per_day: int
    timezone: str

    def windows(self) -> tuple[int, int]:
        """The numbers of the current day and minute."""
        return datetime.now(ZoneInfo(self.timezone)).toordinal(), int(time.time()) // 60

    def resets_at(self) -> datetime:
        """The next midnight."""
        now = datetime.now(ZoneInfo(self.timezone))
        return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def counts(user: Any, quota: Quota) -> tuple[int, int]:
    """How many questions a user's row has counted in the current day and minute.

    A machine whose clock is a little ahead must not reopen a window that others still count in.
    """
    day, minute = quota.windows()
    used_day = user.day_count if day <= user.day <= day + 1 else 0
    used_minute = user.minute_count if minute <= user.minute <= minute + 1 else 0
    return used_day, used_minute


def count_question(connection: Connection, user: Any, quota: Quota) -> tuple[int, int]:
    """Count one question of a locked user row; raise `QuotaExceeded` where none is left.

    Returns the day and minute it was counted in, for `give_back`.
    """
    used_day, used_minute = check_quota(user, quota)
    day, minute = quota.windows()
    counted = {
        "user": user.id,
        "new_day": max(day, user.day) if used_day else day,
        "new_minute": max(minute, user.minute) if used_minute else minute,
        "new_day_count": used_day + 1,
        "new_minute_count": used_minute + 1,
    }
    connection.execute(_COUNT, counted)
    return counted["new_day"], counted["new_minute"]


def check_quota(user: Any, quota: Quota) -> tuple[int, int]:
    """What a user's row has counted today and in this minute; raises `QuotaExceeded` where no question is left."""
    used_day, used_minute = counts(user, quota)
    per_day = quota.per_day if user.per_day is None else user.per_day
    if per_day and used_day >= per_day:
        until = quota.resets_at() - datetime.now(ZoneInfo(quota.timezone))
        raise QuotaExceeded("day", per_day, max(1, int(until.total_seconds())))
    if quota.per_minute and used_minute >= quota.per_minute:
        raise QuotaExceeded("minute", quota.per_minute, 60 - int(time.time()) % 60)
    return used_day, used_minute


_USER = cast(Table, UserRow.__table__)
_COUNT = (
    update(_USER)
    .where(_USER.c.id == bindparam("user"))
    .values({name: bindparam(f"new_{name}") for name in ("day", "minute", "day_count", "minute_count")})
)


def give_back(connection: Connection, user_id: int, day: int, minute: int) -> None:
    """Take back a counted question whose answer failed."""
    for window, number, count in (
        (UserRow.day, day, UserRow.day_count),
        (UserRow.minute, minute, UserRow.minute_count),
    ):
        connection.execute(
            update(UserRow).where(UserRow.id == user_id, window == number, count > 0).values({count: count - 1})
        )


def get(connection: Connection, user_id: int) -> Any:
    """A user's row; raises `Unauthorized` where there is none."""
    row = connection.execute(select(UserRow.__table__).where(UserRow.id == user_id)).first()
    if row is None:
        raise Unauthorized("no such user")
    return row
