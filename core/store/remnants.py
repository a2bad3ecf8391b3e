"""What stays of a user who had everything erased, under a keyed hash of each identity: today's count, and a block.

So erasing everything and coming back is no way around either. The key is made with the database and never leaves it:
without it nobody can find out whose hash it is, and with it only somebody who knows the openid already.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from core.tables import ErasureRow, KeyRow

BLOCKED = "注销前已被停用"  # the reason staff read; theirs is erased with the rest
Identity = tuple[str, str]  # appid and openid


def keep(connection: Connection, user: Any, identities: Iterable[Identity]) -> None:
    """Remember of a user's row what must outlive it."""
    hashes = _hashes(connection, identities)
    outdated = ErasureRow.blocked.is_(False) & ErasureRow.per_day.is_(None) & (ErasureRow.day < user.day - 1)
    connection.execute(delete(ErasureRow).where(outdated))
    if not hashes:
        return
    connection.execute(delete(ErasureRow).where(ErasureRow.identity_hash.in_(hashes)))
    if not (user.blocked is not None or user.per_day is not None or user.day_count):
        return
    stays = {
        "blocked": user.blocked is not None,
        "per_day": user.per_day,
        "day": user.day,
        "day_count": user.day_count,
        "minute": user.minute,
        "minute_count": user.minute_count,
    }
    connection.execute(insert(ErasureRow), [{"identity_hash": one, **stays} for one in sorted(hashes)])


def carried_over(connection: Connection, identities: Iterable[Identity]) -> dict[str, Any]:
    """What the row of a new user begins with who may have been here before."""
    hashes = _hashes(connection, identities)
    query = select(ErasureRow.__table__).where(ErasureRow.identity_hash.in_(hashes))
    found = connection.execute(query).all() if hashes else ()
    if not found:
        return {}
    latest = max(found, key=lambda row: (row.day, row.day_count))
    limits = [row.per_day for row in found if row.per_day is not None]
    return {
        "blocked": BLOCKED if any(row.blocked for row in found) else None,
        "per_day": min(limits) if limits else None,
        "day": latest.day,
        "day_count": latest.day_count,
        "minute": latest.minute,
        "minute_count": latest.minute_count,
    }


def _hashes(connection: Connection, identities: Iterable[Identity]) -> set[str]:
    key = connection.execute(select(KeyRow.value).where(KeyRow.name == "erasure")).scalar_one().encode()
    return {hmac.digest(key, f"{appid}\0{openid}".encode(), hashlib.sha256).hex() for appid, openid in identities}
