"""Staff accounts of the console, their sessions, and the log of what they did."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from core.errors import Conflict, LastAdmin, NotFound, Unauthorized
from core.store.upsert import insert_if_absent
from core.tables import LoginFailureRow, OperationRow, StaffRow, StaffSessionRow, new_id, now_ms

MAX_NAME_CHARS = 64


def is_name(name: str) -> bool:
    """Whether an account may have this name."""
    return name.strip() == name and 1 <= len(name) <= MAX_NAME_CHARS and name.isprintable()


def add(connection: Connection, name: str, password_hash: str, role: str) -> None:
    """A new account; raises Conflict where the name is taken."""
    values = {"name": name, "password_hash": password_hash, "role": role, "created_at": now_ms()}
    if not insert_if_absent(connection, StaffRow, **values):
        raise Conflict("the name is taken")


def add_first(connection: Connection, password_hash: str) -> bool:
    """The account `admin`, where there is none at all; tell whether it was added."""
    if connection.execute(select(StaffRow.id).limit(1)).first() is not None:
        return False
    values = {"name": "admin", "password_hash": password_hash, "role": "admin", "created_at": now_ms()}
    return insert_if_absent(connection, StaffRow, **values)


def get(connection: Connection, name: str) -> Any | None:
    return connection.execute(select(StaffRow.__table__).where(StaffRow.name == name)).first()


def everyone(connection: Connection) -> Sequence[Any]:
    return connection.execute(select(StaffRow.__table__).order_by(StaffRow.name)).all()


def set_password(connection: Connection, staff_id: int, password_hash: str) -> None:
    """A new password ends every session of the account."""
    connection.execute(update(StaffRow).where(StaffRow.id == staff_id).values(password_hash=password_hash))
    _end_sessions(connection, staff_id)


def change_role(connection: Connection, staff_id: int, role: str) -> None:
    """Another role, which ends every session of the account; raises NotFound or LastAdmin."""
    _before_change(connection, staff_id, role)
    connection.execute(update(StaffRow).where(StaffRow.id == staff_id).values(role=role))
    _end_sessions(connection, staff_id)


def remove(connection: Connection, staff_id: int) -> None:
    """Remove an account and end its sessions; raises NotFound or LastAdmin."""
    _before_change(connection, staff_id, None)
    _end_sessions(connection, staff_id)
    connection.execute(delete(StaffRow).where(StaffRow.id == staff_id))


def _before_change(connection: Connection, staff_id: int, role: str | None) -> None:
    """All admins are locked, in the same order everywhere: two who remove each other at once do not both succeed."""
    admins = select(StaffRow.id).where(StaffRow.role == "admin").order_by(StaffRow.id).with_for_update()
    ids = list(connection.execute(admins).scalars())
    account = select(StaffRow.id).where(StaffRow.id == staff_id).with_for_update()
    if connection.execute(account).first() is None:
        raise NotFound("no such account")
    if ids == [staff_id] and role != "admin":
        raise LastAdmin("nobody else could manage the accounts")


def _end_sessions(connection: Connection, staff_id: int) -> None:
    connection.execute(delete(StaffSessionRow).where(StaffSessionRow.staff_id == staff_id))


def open_session(connection: Connection, staff_id: int, seconds: int) -> str:
    """A new session token; only its hash is stored."""
    token, now = secrets.token_urlsafe(32), now_ms()
    values = {"token_hash": _hash(token), "staff_id": staff_id, "created_at": now}
    connection.execute(insert(StaffSessionRow).values(expires_at=now + seconds * 1000, **values))
    return token


def by_session(connection: Connection, token: str) -> Any:
    """The account of a session token; raises Unauthorized."""
    query = (
        select(StaffRow.__table__)
        .join(StaffSessionRow, StaffSessionRow.staff_id == StaffRow.id)
        .where(StaffSessionRow.token_hash == _hash(token), StaffSessionRow.expires_at > now_ms())
    )
    row = connection.execute(query).first()
    if row is None:
        raise Unauthorized("no such staff session")
    return row


def close_session(connection: Connection, token: str) -> None:
    connection.execute(delete(StaffSessionRow).where(StaffSessionRow.token_hash == _hash(token)))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def log(connection: Connection, staff: str, address: str, action: str, target: str, detail: str = "") -> None:
    """Write down what a member of staff did."""
    values = {"staff": staff, "address": address, "action": action, "target": target, "detail": detail}
    connection.execute(insert(OperationRow).values(id=new_id(), created_at=now_ms(), **values))


def operations(connection: Connection, limit: int, before: int | None = None) -> Sequence[Any]:
    """The operation log, newest first, from entries older than id `before`."""
    query = select(OperationRow.__table__).order_by(OperationRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(OperationRow.id < before)
    return connection.execute(query).all()


# Guessing a password is slow


FORGET_MS = 3_600_000  # after this long without a failure the count begins anew
FREE, LONGEST_SECONDS = {"name": 4, "address": 20}, 60


def try_password(connection: Connection, keys: Sequence[str]) -> int:
    """Count an attempt under each key (`name:…`, `address:…`) before the password is looked at, so that many at
    once count as well; 0, or in how many seconds it may be tried again, with nothing counted."""
    now, counted = now_ms(), {}
    for key in sorted(keys):  # the same order everywhere: no deadlock
        insert_if_absent(connection, LoginFailureRow, key=key, failures=0, at=now)
        query = select(LoginFailureRow.failures, LoginFailureRow.at).where(LoginFailureRow.key == key)
        row = connection.execute(query.with_for_update()).one()
        failures = 0 if now - row.at > FORGET_MS else row.failures
        over = failures - FREE[key.partition(":")[0]]
        wait = min(LONGEST_SECONDS, 4 * 2**over) * 1000 - (now - row.at) if over >= 0 else 0
        if wait > 0:
            return -(-wait // 1000)
        counted[key] = failures + 1
    for key, failures in counted.items():
        connection.execute(
            update(LoginFailureRow).where(LoginFailureRow.key == key).values(failures=failures, at=now)
        )
    return 0


def forgive(connection: Connection, keys: Sequence[str]) -> None:
    """The password was right: the name begins anew, the address gets this one attempt back."""
    for key in sorted(keys):
        mine = LoginFailureRow.key == key
        if key.startswith("name:"):
            connection.execute(delete(LoginFailureRow).where(mine))
        else:
            less = {"failures": LoginFailureRow.failures - 1}
            connection.execute(update(LoginFailureRow).where(mine, LoginFailureRow.failures > 0).values(**less))
