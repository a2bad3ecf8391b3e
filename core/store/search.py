"""Finding the newest turns that fulfil conditions, among a million, whatever the conditions are.

First the newest turns are simply looked at: what is common is found there. Then `Source`s tell which turns may come
into question (lists by a mark, a word, a user). The source whose turns lie furthest apart leads; what it names is
narrowed by the others, and compared with the conditions themselves: sources may name too many, never too few.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from core.store import turnindex
from core.tables import TurnRow, id_at, now_ms

NEWEST = 2_000  # turns that are looked at before anything else
MOST_NEWEST = 20_000  # where the indexer has not been yet
CHUNK, LARGEST_CHUNK = 200, 2_000

# Turns from one id up to before another, newest first, at most so many; and the id down to which these are all.
Source = Callable[[Connection, int, int, int], tuple[list[int], int]]
Conditions = Sequence[ColumnElement[bool]]


def complete(ids: list[int], above: int, limit: int) -> tuple[list[int], int]:
    """What a source tells that found these ids by a query limited so."""
    return ids, ids[-1] if len(ids) == limit else above


def find(
    connection: Connection,
    columns: Sequence[Any],
    conditions: Conditions,
    sources: Sequence[Source],
    limit: int,
    *,
    above: int = 0,
    below: int | None = None,
) -> list[Any]:
    """The newest `limit` turns from id `above` up to before `below` that fulfil the conditions."""
    below = end() if below is None else below
    above = max(above, connection.execute(_OLDEST).scalar() or 0)
    if not sources:
        return _look(connection, columns, (*conditions, TurnRow.id >= above, TurnRow.id < below), limit)
    floor = _newest_from(connection, above, below)
    rows = _look(connection, columns, (*conditions, TurnRow.id >= floor, TurnRow.id < below), limit)
    if len(rows) < limit and floor > above:
        for ids in _candidates(connection, sources, above, floor):
            rows += _look(connection, columns, (TurnRow.id.in_(ids), *conditions), limit - len(rows))
            if len(rows) == limit:
                break
    return rows


_OLDEST = select(func.min(TurnRow.id))


def end() -> int:
    """An id later than all, those of clocks that are ahead, too."""
    return id_at(now_ms() + 86_400_000)


def _look(connection: Connection, columns: Sequence[Any], conditions: Conditions, limit: int) -> list[Any]:
    query = select(*columns).where(*conditions).order_by(TurnRow.id.desc()).limit(limit)
    return list(connection.execute(query))


def _newest_from(connection: Connection, above: int, below: int) -> int:
    """The id from which on the newest turns are looked at: at least those the indexer has not reached."""
    inside = select(TurnRow.id).where(TurnRow.id >= above, TurnRow.id < below).order_by(TurnRow.id.desc())
    last = connection.execute(inside.offset(NEWEST - 1).limit(1)).scalar()
    if last is None:
        return above
    reached = turnindex.reached(connection)
    if last > reached + 1:
        unknown = inside.where(TurnRow.id > reached).offset(MOST_NEWEST - 1).limit(1)
        return connection.execute(unknown).scalar() or max(above, reached + 1)
    return last


def _candidates(connection: Connection, sources: Sequence[Source], above: int, below: int) -> Iterator[list[int]]:
    """Turns that every source names, newest first, in pieces."""
    chunk = CHUNK
    while below > above:
        told = [source(connection, above, below, chunk) for source in sources]
        lead, floor = min(told, key=lambda one: one[1])
        ids = set(lead)
        for found, known_from in told:
            ids.intersection_update({one for one in found} | {one for one in ids if one < known_from})
        if ids:
            yield sorted(ids, reverse=True)
        below, chunk = floor, min(2 * chunk, LARGEST_CHUNK)
