"""Erasing a person: nothing stays that says who they are or what they wrote (but see `remnants` and `complaints`).

Their turns stay as numbers, without a name, for the statistics.
"""

from typing import Any

from sqlalchemy import Connection, and_, delete, or_, select, update

from core.store import complaints, daily, remnants, turnindex
from core.store.turns import OPEN
from core.tables import (
    ConversationRow,
    DeliveryRow,
    FollowerRow,
    IdentityRow,
    MediaCheckRow,
    SessionRow,
    TurnRow,
    UserRow,
    now_ms,
)

SLICE = 500  # rows in one transaction

NOTHING: dict[str, Any] = {
    "user_id": None,
    "conversation_id": None,
    "seq": None,
    "request_key": None,
    "request_hash": None,
    "question": "",
    "context": None,
    "answer": "",
    "reasoning": "",
    "hits": None,
    "rating_reason": None,
    "note": None,
    "better_answer": None,
}


def empty_some(connection: Connection, user_id: int) -> int:
    """Empty some turns of a user that are finished; returns how many, until there are none."""
    query = select(TurnRow.id).where(TurnRow.user_id == user_id, TurnRow.status.not_in(OPEN)).limit(SLICE)
    ids = list(connection.execute(query).scalars())
    if ids:
        turnindex.empty(connection, ids)
        emptied = update(TurnRow).where(TurnRow.id.in_(ids)).values(version=TurnRow.version + 1, **NOTHING)
        connection.execute(emptied)
    return len(ids)


def erase(connection: Connection, user_id: int) -> list[int]:
    """Remove a user and whatever still is theirs; the turns that were being written.

    These end here and now: whoever writes one finds that it is not his any more, so nothing is written afterwards.
    """
    # The user's row is the lock: no question is accepted beside this, and none after it.
    user = connection.execute(select(UserRow.__table__).where(UserRow.id == user_id).with_for_update()).first()
    if user is None:
        return []
    theirs = TurnRow.user_id == user_id
    running = list(connection.execute(select(TurnRow.id).where(theirs, TurnRow.status.in_(OPEN))).scalars())
    ended = update(TurnRow).where(TurnRow.id.in_(running)).values(status="stopped", writer=None, finished_at=now_ms())
    if running:
        connection.execute(ended.values(attempt=TurnRow.attempt + 1))
    while empty_some(connection, user_id):  # what was finished since they were emptied
        pass
    daily.forget_user(connection, user_id)

    query = select(IdentityRow.appid, IdentityRow.openid).where(IdentityRow.user_id == user_id)
    identities = [(row.appid, row.openid) for row in connection.execute(query)]
    remnants.keep(connection, user, identities)
    for row in (DeliveryRow, FollowerRow):
        named = [and_(row.appid == appid, row.openid == openid) for appid, openid in identities]
        connection.execute(delete(row).where(or_(False, *named)))
    openids = [openid for _, openid in identities]
    connection.execute(delete(MediaCheckRow).where(MediaCheckRow.openid.in_(openids)))
    complaints.let_go(connection, user_id)
    for owned in (ConversationRow, SessionRow, IdentityRow):
        connection.execute(delete(owned).where(owned.user_id == user_id))
    connection.execute(delete(UserRow).where(UserRow.id == user_id))
    return running
