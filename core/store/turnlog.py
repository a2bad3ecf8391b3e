"""The log, as staff read it: pages of turns by any filter, one turn with all that is known of it, and reviews.

rows = database.read(turnlog.page, Filter(text="退款 运费", flags={"disliked"}), 50)
more = database.read(turnlog.page, Filter(...), 50, rows[-1].id)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select

from core.database import Database
from core.store import grams, marks, people, search
from core.store.deliveries import KEPT_MS
from core.store.figures import UNFINISHED
from core.store.search import Source, complete
from core.store.turns import OPEN
from core.tables import ComplaintRow, DeliveryRow, TurnRow, id_at, now_ms, time_of

Flag = Literal[
    "blocked",  # the answer was withheld
    "masked",  # words in question or answer were masked
    "failed",
    "disliked",
    "liked",
    "reported",  # a user complained
    "partial",  # a follower has not been shown the answer to the end
    "uncollected",  # nor can they any more
    "noted",  # staff have written something about it
]
FLAGS: tuple[Flag, ...] = get_args(Flag)
EXCERPT = 100  # characters of question and answer in a list
EXPORT_SLICE = 500
SORTED = 20_000  # turns that a search sorts at once


@dataclass(frozen=True, slots=True)
class Filter:
    """What turns are looked for; what is left out says nothing. `flags` must all be true."""

    text: str = ""  # words, separated by spaces, each of which is in the question or in the answer
    user: str = ""  # a user's number, openid or unionid, or the beginning of one; a name of staff's
    channel: str | None = None
    without: str | None = None  # a channel that is left out
    since: int | None = None  # asked at or after, in milliseconds since 1970
    until: int | None = None  # asked before
    prompt_version: int | None = None
    status: str | None = None  # of core.store.turns.Status
    flags: frozenset[Flag] | set[Flag] = field(default_factory=frozenset)
    slow_ms: int | None = None  # the answer, or its first token, took this long or longer
    first_token_ms: int | None = None  # its first token did


@dataclass(frozen=True, slots=True)
class Line:
    """A turn in a list."""

    id: int
    created_at: int
    channel: str
    user_id: int | None
    conversation_id: int | None
    question: str  # its beginning
    answer: str
    status: str
    code: str | None
    rating: str | None
    first_token_ms: int | None
    duration_ms: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    prompt_version: int | None
    score: int | None
    superseded: bool
    flags: frozenset[Flag]


def page(connection: Connection, wanted: Filter, limit: int, before: int | None = None) -> list[Line]:
    """The newest turns that fulfil the filter, from those older than id `before`."""
    rows = _find(connection, wanted, _LINE, limit, before)
    if not rows:
        return []
    reported, deliveries = _beside(connection, [row.id for row in rows])
    return [_line(row, row.id in reported, deliveries.get(row.id)) for row in rows]


def export(database: Database, wanted: Filter) -> Iterator[tuple[float, Sequence[Any]]]:
    """All turns that fulfil the filter, whole rows, newest first, slice by slice: `(share done, rows)`.

    The share is one of the time that was searched, so it costs nothing to know.
    """
    newest = before = min(wanted.until or now_ms() + 1000, now_ms() + 1000)
    oldest = database.read(_oldest, wanted)
    cursor: int | None = None
    while True:
        rows = database.read(_find, wanted, (TurnRow.__table__,), EXPORT_SLICE, cursor)
        if len(rows) < EXPORT_SLICE:
            yield 1.0, rows
            return
        cursor = rows[-1].id
        before = time_of(cursor)
        yield min(1.0, max(0.0, (newest - before) / max(1, newest - oldest))), rows


def _oldest(connection: Connection, wanted: Filter) -> int:
    first: int | None = connection.execute(select(func.min(TurnRow.id))).scalar()
    return max(wanted.since or 0, time_of(first) if first is not None else 0)


def _span(wanted: Filter) -> tuple[int, int | None]:
    above = id_at(wanted.since) if wanted.since is not None else 0
    return above, id_at(wanted.until) if wanted.until is not None else None


def _find(
    connection: Connection, wanted: Filter, columns: Sequence[Any], limit: int, before: int | None = None
) -> list[Any]:
    above, below = _span(wanted)
    if before is not None:
        below = before if below is None else min(below, before)
    users = people.matching(connection, wanted.user) if wanted.user.strip() else None
    if users is not None and not users:
        return []
    conditions = _conditions(wanted, users)
    return search.find(connection, columns, conditions, _sources(wanted, users), limit, above=above, below=below)


# What a turn must be. Columns are hidden from the indexes of `turns`, which lead astray: see `search`.


def _conditions(wanted: Filter, users: Sequence[int] | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        or_(TurnRow.question.icontains(word, autoescape=True), TurnRow.answer.icontains(word, autoescape=True))
        for word in wanted.text.split()
    ]
    if users is not None:
        found.append((TurnRow.user_id + 0).in_(users))
    if wanted.channel is not None:
        found.append(TurnRow.channel == wanted.channel)
    if wanted.without is not None:
        found.append(TurnRow.channel != wanted.without)
    if wanted.prompt_version is not None:
        found.append(TurnRow.prompt_version == wanted.prompt_version)
    if wanted.status is not None:
        found.append(_status == wanted.status)
    if wanted.slow_ms is not None:
        found.append(or_(TurnRow.duration_ms >= wanted.slow_ms, TurnRow.first_token_ms >= wanted.slow_ms))
    if wanted.first_token_ms is not None:
        found.append(TurnRow.first_token_ms >= wanted.first_token_ms)
    found += [_FLAGGED[flag]() for flag in FLAGS if flag in wanted.flags]
    return found


_status: ColumnElement[str] = TurnRow.status.concat("")
_masked = TurnRow.hits.contains('"action":"mask"')


def _delivered(*states: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(DeliveryRow.turn_id == TurnRow.id, *states)


def _uncollected() -> ColumnElement[bool]:
    return and_(DeliveryRow.state.in_(UNFINISHED), DeliveryRow.id < id_at(now_ms() - KEPT_MS))


_FLAGGED: dict[Flag, Callable[[], ColumnElement[bool]]] = {
    "blocked": lambda: _status == "blocked",
    "masked": lambda: _masked,
    "failed": lambda: _status == "failed",
    "disliked": lambda: TurnRow.rating == "down",
    "liked": lambda: TurnRow.rating == "up",
    "reported": lambda: exists().where(ComplaintRow.turn_id == TurnRow.id, ComplaintRow.kind == "report"),
    "partial": lambda: _delivered(DeliveryRow.state.in_(UNFINISHED)),
    "uncollected": lambda: _delivered(_uncollected()),
    "noted": lambda: TurnRow.reviewed_at.is_not(None),
}


# Where to look for them


def _sources(wanted: Filter, users: Sequence[int] | None) -> list[Source]:
    named = [
        marks.channel(wanted.channel) if wanted.channel is not None else None,
        marks.version(wanted.prompt_version) if wanted.prompt_version is not None else None,
        marks.status(wanted.status) if wanted.status is not None and wanted.status not in OPEN else None,
        marks.took(wanted.slow_ms),
        marks.took(wanted.first_token_ms, "f"),
        *(_MARKS[flag] for flag in FLAGS if flag in wanted.flags and flag in _MARKS),
    ]
    found = [_marked(mark) for mark in dict.fromkeys(named) if mark is not None]
    found += [_containing(word) for word in dict.fromkeys(wanted.text.split())]
    if users is not None:
        found.append(_asked_by(users))
    if wanted.status in OPEN:
        found.append(_by_query(TurnRow.id, TurnRow.status == wanted.status))
    if "uncollected" in wanted.flags:
        found.append(_by_query(DeliveryRow.turn_id, _uncollected()))
    elif "partial" in wanted.flags:
        found.append(_by_query(DeliveryRow.turn_id, DeliveryRow.state.in_(UNFINISHED)))
    return found


_MARKS: dict[Flag, str] = {
    "blocked": marks.status("blocked"),
    "failed": marks.status("failed"),
    "masked": "masked",
    "disliked": "down",
    "liked": "up",
    "reported": "reported",
    "noted": "noted",
}


def _marked(mark: str) -> Source:
    def source(connection: Connection, above: int, below: int, limit: int) -> tuple[list[int], int]:
        return complete(marks.find(connection, mark, above, below, limit), above, limit)

    return source


def _containing(word: str) -> Source:
    wanted = grams.searched(word)

    def source(connection: Connection, above: int, below: int, limit: int) -> tuple[list[int], int]:
        return grams.find(connection, wanted, above, below, limit)

    return source


def _asked_by(users: Sequence[int]) -> Source:
    return _by_query(TurnRow.id, TurnRow.user_id.in_(users))


def _by_query(key: Any, *conditions: ColumnElement[bool]) -> Source:
    known: tuple[list[int], int] | None = None  # to sort them costs the same whether few are wanted, or many

    def source(connection: Connection, above: int, below: int, limit: int) -> tuple[list[int], int]:
        nonlocal known
        if known is None or known[1] >= below:
            # `+ 0`: found by the conditions' own index, and sorted; not read in order until enough is found.
            query = select(key).where(*conditions, key + 0 >= above, key + 0 < below).order_by((key + 0).desc())
            known = complete(list(connection.execute(query.limit(SORTED)).scalars()), above, SORTED)
        ids = [one for one in known[0] if one < below][:limit]
        return (ids, ids[-1]) if len(ids) == limit else (ids, known[1])

    return source


# Lines

_LINE = (
    TurnRow.id,
    TurnRow.created_at,
    TurnRow.channel,
    TurnRow.user_id,
    TurnRow.conversation_id,
    func.substr(TurnRow.question, 1, EXCERPT).label("question"),
    func.substr(TurnRow.answer, 1, EXCERPT).label("answer"),
    TurnRow.status,
    TurnRow.code,
    TurnRow.rating,
    TurnRow.first_token_ms,
    TurnRow.duration_ms,
    TurnRow.prompt_tokens,
    TurnRow.completion_tokens,
    TurnRow.prompt_version,
    TurnRow.score,
    TurnRow.superseded,
    TurnRow.reviewed_at,
    case((_masked, 1), else_=0).label("masked"),
)


def _beside(connection: Connection, ids: Sequence[int]) -> tuple[set[int], dict[int, Any]]:
    """Which of these turns were reported, and the message each answers."""
    reports = select(ComplaintRow.turn_id).where(ComplaintRow.turn_id.in_(ids), ComplaintRow.kind == "report")
    query = select(DeliveryRow.__table__).where(DeliveryRow.turn_id.in_(ids))
    reported: set[int] = set(connection.execute(reports).scalars())  # type: ignore[arg-type]
    return reported, {row.turn_id: row for row in connection.execute(query)}


def _line(row: Any, reported: bool, delivery: Any | None) -> Line:
    unfinished = delivery if delivery is not None and delivery.state in UNFINISHED else None
    true: dict[Flag, bool] = {
        "blocked": row.status == "blocked",
        "masked": bool(row.masked),
        "failed": row.status == "failed",
        "disliked": row.rating == "down",
        "liked": row.rating == "up",
        "reported": reported,
        "partial": unfinished is not None,
        "uncollected": unfinished is not None and unfinished.id < id_at(now_ms() - KEPT_MS),
        "noted": row.reviewed_at is not None,
    }
    values = {name: getattr(row, name) for name in Line.__dataclass_fields__ if name != "flags"}
    return Line(**values, flags=frozenset(flag for flag in FLAGS if true[flag]))
