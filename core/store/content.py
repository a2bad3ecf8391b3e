"""What staff write and may change while we run: prompts, words, keyword replies, options.

Every change raises a revision in the same transaction; each process asks for the revisions at every tick and
reads again what has moved (`core/live.py`).
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import Connection, delete, insert, select, update

from core.errors import NotFound
from core.moderation import Action, Word
from core.store.upsert import insert_if_absent
from core.tables import (
    KeywordReplyRow,
    OptionRow,
    PromptLabelRow,
    PromptVersionRow,
    RevisionRow,
    WordRow,
    now_ms,
)

CHANNELS = ("miniprogram", "official")
MAX_FACTS_CHARS = 2000


def revisions(connection: Connection) -> dict[str, int]:
    """How often each kind of content has changed."""
    return {row.name: row.number for row in connection.execute(select(RevisionRow.name, RevisionRow.number))}


def _changed(connection: Connection, name: str) -> None:
    grown = update(RevisionRow).where(RevisionRow.name == name).values(number=RevisionRow.number + 1)
    if connection.execute(grown).rowcount == 0:
        insert_if_absent(connection, RevisionRow, name=name, number=1)


# Prompts


def add_prompt(connection: Connection, text: str, facts: str, note: str, author: str) -> int:
    """Store a new version of the system prompt, live nowhere yet; returns its number."""
    values = {"text": text, "facts": facts, "note": note, "author": author, "created_at": now_ms()}
    return int(connection.execute(insert(PromptVersionRow).values(**values)).inserted_primary_key[0])  # type: ignore[index]


def publish_prompt(connection: Connection, version_id: int, channels: Iterable[str]) -> None:
    """Make a version live on these channels; raises NotFound."""
    known = select(PromptVersionRow.id).where(PromptVersionRow.id == version_id)
    if connection.execute(known).first() is None:
        raise NotFound("no such prompt version")
    for channel in channels:
        label = update(PromptLabelRow).where(PromptLabelRow.channel == channel).values(version_id=version_id)
        if connection.execute(label).rowcount == 0:
            insert_if_absent(connection, PromptLabelRow, channel=channel, version_id=version_id)
    _changed(connection, "prompts")


def prompt_versions(connection: Connection) -> Sequence[Any]:
    """All versions, newest first."""
    query = select(PromptVersionRow.__table__).order_by(PromptVersionRow.id.desc())
    return connection.execute(query).all()


def live_prompts(connection: Connection) -> dict[str, Any]:
    """Channel → the version that is live there."""
    query = select(PromptLabelRow.channel, PromptVersionRow.__table__).join(
        PromptVersionRow, PromptVersionRow.id == PromptLabelRow.version_id
    )
    return {row.channel: row for row in connection.execute(query)}


# Words


def words(connection: Connection) -> list[Word]:
    """What the filter looks for."""
    return [
        Word(row.text, cast(Action, row.action)) for row in connection.execute(select(WordRow.text, WordRow.action))
    ]


def set_words(connection: Connection, entries: Iterable[Word], category: str = "", author: str = "") -> int:
    """Add words, or change the action of those that are there; returns how many are new."""
    known = {row.text: row.action for row in connection.execute(select(WordRow.text, WordRow.action))}
    entries = {entry.text: entry for entry in entries}.values()
    new = [
        {"text": e.text, "action": e.action, "category": category, "author": author, "created_at": now_ms()}
        for e in entries
        if e.text not in known
    ]
    for start in range(0, len(new), 500):
        connection.execute(insert(WordRow), new[start : start + 500])
    for entry in entries:
        if known.get(entry.text, entry.action) != entry.action:
            connection.execute(update(WordRow).where(WordRow.text == entry.text).values(action=entry.action))
    _changed(connection, "words")
    return len(new)


def remove_words(connection: Connection, texts: Sequence[str]) -> int:
    """Returns how many were there."""
    gone = 0
    for start in range(0, len(texts), 500):
        some = list(texts[start : start + 500])
        gone += connection.execute(delete(WordRow).where(WordRow.text.in_(some))).rowcount
    _changed(connection, "words")
    return gone


# Keyword replies


def keyword_replies(connection: Connection) -> Sequence[Any]:
    """Those that are enabled, the first to be tried first."""
    query = select(KeywordReplyRow.__table__).where(KeywordReplyRow.enabled.is_(True))
    return connection.execute(query.order_by(KeywordReplyRow.priority.desc(), KeywordReplyRow.id)).all()


def add_keyword_reply(
    connection: Connection, keyword: str, match: str, reply: str, priority: int = 0, author: str = ""
) -> int:
    """Returns its id."""
    values = {"keyword": keyword, "match": match, "reply": reply, "priority": priority, "author": author}
    added = connection.execute(insert(KeywordReplyRow).values(enabled=True, created_at=now_ms(), **values))
    _changed(connection, "replies")
    return int(added.inserted_primary_key[0])  # type: ignore[index]


def remove_keyword_reply(connection: Connection, reply_id: int) -> None:
    connection.execute(delete(KeywordReplyRow).where(KeywordReplyRow.id == reply_id))
    _changed(connection, "replies")


# Options


def options(connection: Connection) -> dict[str, Any]:
    """Name → value of the settings staff may change."""
    return {row.name: json.loads(row.value) for row in connection.execute(select(OptionRow.name, OptionRow.value))}


def set_option(connection: Connection, name: str, value: Any) -> None:
    """`value` is anything JSON can hold."""
    stored = json.dumps(value, ensure_ascii=False)
    if connection.execute(update(OptionRow).where(OptionRow.name == name).values(value=stored)).rowcount == 0:
        insert_if_absent(connection, OptionRow, name=name, value=stored)
    _changed(connection, "options")
