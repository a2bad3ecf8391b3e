"""A user's conversations: listed, read, renamed, deleted (which hides them; the log keeps the turns)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from core.errors import NotFound
from core.tables import ConversationRow, TurnRow, now_ms

_CONVERSATION = ConversationRow.__table__


def page(connection: Connection, user_id: int, limit: int, before: tuple[int, int] | None) -> Sequence[Any]:
    """Conversations, latest first, from those older than `before` = (updated_at, id)."""
    query = select(_CONVERSATION).where(ConversationRow.user_id == user_id, ConversationRow.deleted_at.is_(None))
    if before is not None:
        updated_at, conversation_id = before
        query = query.where(
            or_(
                ConversationRow.updated_at < updated_at,
                and_(ConversationRow.updated_at == updated_at, ConversationRow.id < conversation_id),
            )
        )
    order = (ConversationRow.updated_at.desc(), ConversationRow.id.desc())
    return connection.execute(query.order_by(*order).limit(limit)).all()


def latest(connection: Connection, user_id: int, channel: str, since_ms: int) -> int | None:
    """The conversation a user last spoke in on this channel, unless that was before `since_ms`."""
    found = latest_row(connection, user_id, channel, since_ms)
    return None if found is None else int(found.id)


def latest_row(connection: Connection, user_id: int, channel: str, since_ms: int) -> Any | None:
    """The same, as `(id, last_seq)`."""
    return connection.execute(_LATEST, {"user": user_id, "channel": channel, "since": since_ms}).first()


_LATEST = (
    select(ConversationRow.id, ConversationRow.last_seq)
    .where(
        ConversationRow.user_id == bindparam("user"),
        ConversationRow.channel == bindparam("channel"),
        ConversationRow.deleted_at.is_(None),
        ConversationRow.updated_at >= bindparam("since"),
    )
    .order_by(ConversationRow.updated_at.desc())
    .limit(1)
)


def turns(
    connection: Connection, user_id: int, conversation_id: int, limit: int, before: int | None
) -> Sequence[Any]:
    """The newest `limit` turns before seq `before`, oldest first; raises NotFound."""
    _own(connection, user_id, conversation_id)
    query = select(TurnRow.__table__).where(TurnRow.conversation_id == conversation_id, TurnRow.superseded.is_(False))
    if before is not None:
        query = query.where(TurnRow.seq < before)
    rows = connection.execute(query.order_by(TurnRow.seq.desc()).limit(limit)).all()
    return rows[::-1]


def rename(connection: Connection, user_id: int, conversation_id: int, title: str) -> None:
    """Raises NotFound."""
    _own(connection, user_id, conversation_id)
    connection.execute(update(ConversationRow).where(ConversationRow.id == conversation_id).values(title=title))


def remove(connection: Connection, user_id: int, conversation_id: int) -> None:
    """Raises NotFound."""
    _own(connection, user_id, conversation_id)
    gone = update(ConversationRow).where(ConversationRow.id == conversation_id)
    connection.execute(gone.values(deleted_at=now_ms()))


def remove_all(connection: Connection, user_id: int) -> None:
    theirs = (ConversationRow.user_id == user_id, ConversationRow.deleted_at.is_(None))
    connection.execute(update(ConversationRow).where(*theirs).values(deleted_at=now_ms()))


def open_turns(connection: Connection, user_id: int, conversation_id: int | None = None) -> list[int]:
    """Turns of a user (of one conversation) that are queued or being written."""
    query = select(TurnRow.id).where(TurnRow.user_id == user_id, TurnRow.status.in_(("queued", "answering")))
    if conversation_id is not None:
        query = query.where(TurnRow.conversation_id == conversation_id)
    return list(connection.execute(query).scalars())


def _own(connection: Connection, user_id: int, conversation_id: int) -> None:
    query = select(ConversationRow.id).where(
        ConversationRow.id == conversation_id,
        ConversationRow.user_id == user_id,
        ConversationRow.deleted_at.is_(None),
    )
    if connection.execute(query).first() is None:
        raise NotFound("no such conversation")
