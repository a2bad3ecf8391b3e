"""What staff write and may change while we run: prompts, words, keyword replies, options.

Every change raises a revision in the same transaction; each process asks for the revisions at every tick and
reads again what has moved (`core/live.py`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import Connection, delete, func, insert, select, update

from core.errors import Conflict, NotFound
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

T = TypeVar("T")
CHANNELS = ("miniprogram", "official")
MAX_FACTS_CHARS = 2000


def revisions(connection: Connection) -> dict[str, int]:
    """How often each kind of content has changed."""
    return {row.name: row.number for row in connection.execute(select(RevisionRow.name, RevisionRow.number))}


def lock(connection: Connection, name: str) -> None:
    """Let one transaction at a time change this kind of content: what it has looked at stays so until it ends."""
    query = select(RevisionRow.number).where(RevisionRow.name == name).with_for_update()
    if connection.execute(query).first() is None:
        insert_if_absent(connection, RevisionRow, name=name, number=0)
        connection.execute(query)


def changed(connection: Connection, name: str) -> None:
    """Tell all processes that this kind of content has changed."""
    grown = update(RevisionRow).where(RevisionRow.name == name).values(number=RevisionRow.number + 1)
    if connection.execute(grown).rowcount == 0:
        insert_if_absent(connection, RevisionRow, name=name, number=1)


# Prompts


def add_prompt(connection: Connection, text: str, facts: str, note: str, author: str) -> int:
    """Store a new version of the system prompt, live nowhere yet; returns its number."""
    values = {"text": text, "facts": facts, "note": note, "author": author, "created_at": now_ms()}
    return int(connection.execute(insert(PromptVersionRow).values(**values)).inserted_primary_key[0])  # type: ignore[index]


def publish_prompt(
    connection: Connection, version_id: int, channels: Iterable[str], before: Mapping[str, int] | None = None
) -> None:
    """Make a version live on these channels; raises NotFound.

    `before` tells which version each channel had when staff decided; raises Conflict where that has moved since.
    """
    known = select(PromptVersionRow.id).where(PromptVersionRow.id == version_id)
    if connection.execute(known).first() is None:
        raise NotFound("no such prompt version")
    channels = list(channels)
    lock(connection, "prompts")
    if before is not None:
        query = select(PromptLabelRow.channel, PromptLabelRow.version_id)
        now = {row.channel: row.version_id for row in connection.execute(query)}
        if any(now.get(channel) != before.get(channel) for channel in channels):
            raise Conflict("somebody else has published meanwhile")
    for channel in channels:
        label = update(PromptLabelRow).where(PromptLabelRow.channel == channel).values(version_id=version_id)
        if connection.execute(label).rowcount == 0:
            insert_if_absent(connection, PromptLabelRow, channel=channel, version_id=version_id)
    changed(connection, "prompts")


def prompt_versions(connection: Connection, limit: int | None = None, before: int | None = None) -> Sequence[Any]:
    """The versions, newest first, from those older than number `before`."""
    query = select(PromptVersionRow.__table__).order_by(PromptVersionRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(PromptVersionRow.id < before)
    return connection.execute(query).all()


def prompt_version(connection: Connection, version_id: int) -> Any:
    """One version; raises NotFound."""
    row = connection.execute(select(PromptVersionRow.__table__).where(PromptVersionRow.id == version_id)).first()
    if row is None:
        raise NotFound("no such prompt version")
    return row


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


class Entry(NamedTuple):
    """A word with its category; None leaves the category of a word that is there."""

    text: str
    action: Action
    category: str | None = None


class Imported(NamedTuple):
    """What became of the words that were given."""

    new: int
    changed: int
    same: int


@dataclass(frozen=True, slots=True)
class WordQuery:
    """Which words staff speak of: those that fit everything given."""

    search: str = ""
    action: str = ""
    category: str | None = None
    ids: Sequence[int] | None = None

    def conditions(self) -> list[Any]:
        found: list[Any] = []
        if self.search:
            found.append(func.lower(WordRow.text).contains(self.search.lower(), autoescape=True))
        if self.action:
            found.append(WordRow.action == self.action)
        if self.category is not None:
            found.append(WordRow.category == self.category)
        if self.ids is not None:
            found.append(WordRow.id.in_(list(self.ids)))
        return found


def word_page(connection: Connection, query: WordQuery, limit: int, offset: int = 0) -> tuple[Sequence[Any], int]:
    """Some of the words, those added last first, and how many there are in all."""
    where = query.conditions()
    rows = select(WordRow.__table__).where(*where).order_by(WordRow.id.desc()).limit(limit).offset(offset)
    total = connection.execute(select(func.count()).select_from(WordRow).where(*where)).scalar_one()
    return connection.execute(rows).all(), total


def word_categories(connection: Connection) -> list[str]:
    """The categories in use."""
    query = select(WordRow.category).where(WordRow.category != "").distinct().order_by(WordRow.category)
    return list(connection.execute(query).scalars())


def import_words(connection: Connection, entries: Iterable[Entry], author: str = "") -> Imported:
    """Add words, or change the action and category of those that are there; of one given twice the last counts."""
    lock(connection, "words")
    wanted = {entry.text: entry for entry in entries}
    known: dict[str, tuple[str, str]] = {}
    for some in _slices(list(wanted)):
        query = select(WordRow.text, WordRow.action, WordRow.category).where(WordRow.text.in_(some))
        known |= {row.text: (row.action, row.category) for row in connection.execute(query)}
    new = [
        {"text": e.text, "action": e.action, "category": e.category or "", "author": author, "created_at": now_ms()}
        for e in wanted.values()
        if e.text not in known
    ]
    for rows in _slices(new):
        connection.execute(insert(WordRow), rows)
    different: dict[tuple[str, str], list[str]] = {}
    for text, now in known.items():
        then = (wanted[text].action, now[1] if wanted[text].category is None else wanted[text].category or "")
        if then != now:
            different.setdefault(then, []).append(text)
    for (action, category), texts in different.items():
        for some in _slices(texts):
            moved = update(WordRow).where(WordRow.text.in_(some)).values(action=action, category=category)
            connection.execute(moved)
    changed(connection, "words")
    count = sum(map(len, different.values()))
    return Imported(len(new), count, len(known) - count)


def change_words(
    connection: Connection, query: WordQuery, *, action: Action | None = None, category: str | None = None
) -> int:
    """Another action or category for all these words; returns how many there are."""
    values = {"action": action, "category": category}
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        return 0
    lock(connection, "words")
    count = connection.execute(update(WordRow).where(*query.conditions()).values(**given)).rowcount
    changed(connection, "words")
    return count


def delete_words(connection: Connection, query: WordQuery) -> int:
    """Returns how many there were."""
    lock(connection, "words")
    count = connection.execute(delete(WordRow).where(*query.conditions())).rowcount
    changed(connection, "words")
    return count


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many at once as one statement may have."""
    return (items[start : start + 500] for start in range(0, len(items), 500))


# Keyword replies


def keyword_replies(connection: Connection) -> Sequence[Any]:
    """Those that are enabled, the first to be tried first."""
    query = select(KeywordReplyRow.__table__).where(KeywordReplyRow.enabled.is_(True))
    return connection.execute(query.order_by(KeywordReplyRow.priority.desc(), KeywordReplyRow.id)).all()


def add_keyword_reply(
    connection: Connection,
    keyword: str,
    match: str,
    reply: str,
    priority: int = 0,
    author: str = "",
    enabled: bool = True,
) -> int:
    """Returns its id."""
    values = {"keyword": keyword, "match": match, "reply": reply, "priority": priority, "author": author}
    added = connection.execute(insert(KeywordReplyRow).values(enabled=enabled, created_at=now_ms(), **values))
    changed(connection, "replies")
    return int(added.inserted_primary_key[0])  # type: ignore[index]


def every_keyword_reply(connection: Connection) -> Sequence[Any]:
    """Those that are not enabled too, in the same order."""
    query = select(KeywordReplyRow.__table__)
    return connection.execute(query.order_by(KeywordReplyRow.priority.desc(), KeywordReplyRow.id)).all()


def keyword_reply_row(connection: Connection, reply_id: int) -> Any:
    """One of them; raises NotFound."""
    row = connection.execute(select(KeywordReplyRow.__table__).where(KeywordReplyRow.id == reply_id)).first()
    if row is None:
        raise NotFound("no such keyword reply")
    return row


def change_keyword_reply(connection: Connection, before: Any, **values: Any) -> None:
    """Change what staff have seen (`before`, a row); raises NotFound, or Conflict where it has changed since."""
    lock(connection, "replies")
    if keyword_reply_row(connection, before.id) != before:
        raise Conflict("somebody else has changed it meanwhile")
    connection.execute(update(KeywordReplyRow).where(KeywordReplyRow.id == before.id).values(**values))
    changed(connection, "replies")


def remove_keyword_reply(connection: Connection, reply_id: int) -> None:
    connection.execute(delete(KeywordReplyRow).where(KeywordReplyRow.id == reply_id))
    changed(connection, "replies")


# Options


def options(connection: Connection) -> dict[str, Any]:
    """Name → value of the settings staff may change."""
    return {row.name: json.loads(row.value) for row in connection.execute(select(OptionRow.name, OptionRow.value))}


def set_option(connection: Connection, name: str, value: Any) -> None:
    """`value` is anything JSON can hold."""
    stored = json.dumps(value, ensure_ascii=False)
    if connection.execute(update(OptionRow).where(OptionRow.name == name).values(value=stored)).rowcount == 0:
        insert_if_absent(connection, OptionRow, name=name, value=stored)
    changed(connection, "options")


def change_options(connection: Connection, values: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Set several at once from what staff have seen (`before`); raises Conflict where one has changed since."""
    lock(connection, "options")
    now = options(connection)
    if any(now.get(name) != before.get(name) for name in values):
        raise Conflict("somebody else has changed it meanwhile")
    for name, value in values.items():
        set_option(connection, name, value)
