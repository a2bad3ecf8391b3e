"""Staff accounts of the console, their sessions, and the log of what they did."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from core.errors import Conflict, Unauthorized
from core.store.upsert import insert_if_absent
from core.tables import OperationRow, StaffRow, StaffSessionRow, new_id, now_ms

ROLES = ("viewer", "editor", "admin")


def add(connection: Connection, name: str, password_hash: str, role: str) -> None:
    """A new account; raises Conflict where the name is taken."""
    values = {"name": name, "password_hash": password_hash, "role": role, "created_at": now_ms()}
    if not insert_if_absent(connection, StaffRow, **values):
        raise Conflict("the name is taken")


def get(connection: Connection, name: str) -> Any | None:
    return connection.execute(select(StaffRow.__table__).where(StaffRow.name == name)).first()


def everyone(connection: Connection) -> Sequence[Any]:
    return connection.execute(select(StaffRow.__table__).order_by(StaffRow.name)).all()


def set_password(connection: Connection, staff_id: int, password_hash: str) -> None:
    """A new password ends every session of the account."""
    connection.execute(update(StaffRow).where(StaffRow.id == staff_id).values(password_hash=password_hash))
    _end_sessions(connection, staff_id)


def remove(connection: Connection, staff_id: int) -> None:
    _end_sessions(connection, staff_id)
    connection.execute(delete(StaffRow).where(StaffRow.id == staff_id))


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
