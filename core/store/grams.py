"""The index of texts: every character and every pair of neighbours of a turn's question and answer.

No database cuts Chinese into words that could be searched, so we cut it ourselves. Each gram becomes a number, and
each database keeps the numbers in its own kind of index: FTS5 in SQLite, an array with GIN in PostgreSQL, FULLTEXT
in MySQL. What it finds are candidates: whoever asks compares the texts themselves.

SQLite stores the distance from one row number to the next, so turns are entered there under their `cell`, the time
of asking in steps of 32 ms: a quarter of the size. In a cell there may be several turns. PostgreSQL and MySQL collect
all that a gram has ever been in before they sort it; there the number contains the week, and weeks are asked one
after the other, from the newest.

Nothing is known of a text but its turn: to take it out, it is needed again.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select, text

from core.store import marks
from core.tables import TurnRow

MOST_GRAMS = 12  # of a searched word: more find nothing better
MOST_WEEKS = 8  # in one question; of more PostgreSQL believes that it had better read the table
_MASK = 0xFFFFFFFF
_SPREAD = 0x9E3779B1  # odd, with bits in no order
_CELL_BITS = 27  # of an id: 32 ms
_WEEK_BITS = 51  # of an id: 6.2 days

Entry = tuple[int, str]  # a turn's id, with its grams as the database keeps them


def codes(words: str) -> set[int]:
    """The grams of a text, as numbers of 32 bits. Upper and lower case are the same."""
    found: set[int] = set()
    for word in words.lower().split():
        points = [ord(char) * _SPREAD for char in word]
        found.update(points)
        found.update([one + ord(char) for one, char in zip(points, word[1:], strict=False)])
    return {number & _MASK for number in found}


def searched(word: str) -> set[int]:
    """Enough grams of a word (without spaces) to find it: pairs that cover it, or its only character."""
    if len(word) < 2:
        return codes(word)
    starts = [*range(0, len(word) - 1, 2), len(word) - 2]
    if len(starts) > MOST_GRAMS:
        starts = starts[:: len(starts) // MOST_GRAMS + 1]
    return {(ord(pair[0]) * _SPREAD + ord(pair[1])) & _MASK for at in starts for pair in [word.lower()[at : at + 2]]}


def entry(connection: Connection, turn: Any) -> Entry:
    """What is kept of a turn's row (with `COLUMNS`); all the work of it, and nothing of the database's."""
    # No gram goes from the question into the answer.
    found = codes(f"{turn.question}\n{turn.answer}")
    dialect = connection.dialect.name
    if dialect == "postgresql":
        return turn.id, _array(turn.id, found)
    return turn.id, _tokens(found if dialect == "sqlite" else _of_week(turn.id, found))


def add(connection: Connection, entries: Sequence[Entry]) -> None:
    """Enter turns that are not in the index."""
    if not entries:
        return
    dialect = connection.dialect.name
    if dialect == "sqlite":
        # In the order of row numbers FTS5 gathers them in memory.
        rows = sorted((turn_id >> _CELL_BITS, tokens) for turn_id, tokens in entries)
        connection.exec_driver_sql("INSERT INTO turn_grams (rowid, grams) VALUES (?, ?)", rows)
    elif dialect == "postgresql":
        values = [{"id": turn_id, "grams": array} for turn_id, array in entries]
        connection.execute(text("INSERT INTO turn_grams VALUES (:id, CAST(:grams AS integer[]))"), values)
    else:
        connection.exec_driver_sql("INSERT INTO turn_grams (id, grams) VALUES (%s, %s)", list(entries))


def remove(connection: Connection, turns: Sequence[Any]) -> None:
    """Take turns out, given the rows (with `COLUMNS`) they were entered with."""
    turns = [turn for turn in turns if turn.question or turn.answer]  # else it was erased, and taken out before
    if not turns:
        return
    if connection.dialect.name != "sqlite":
        ids = ", ".join(str(turn.id) for turn in turns)
        connection.exec_driver_sql(f"DELETE FROM turn_grams WHERE id IN ({ids})")
        return
    rows = sorted((turn.id >> _CELL_BITS, entry(connection, turn)[1]) for turn in turns)
    statement = "INSERT INTO turn_grams (turn_grams, rowid, grams) VALUES ('delete', ?, ?)"
    connection.exec_driver_sql(statement, rows)
    # Their neighbours in the cells had grams in common with them.
    gone = {turn.id for turn in turns}
    for cell in {cell for cell, _ in rows}:
        inside = TurnRow.id.between(cell << _CELL_BITS, ((cell + 1) << _CELL_BITS) - 1)
        others = [row for row in connection.execute(select(*COLUMNS).where(inside)) if row.id not in gone]
        indexed = marks.indexed(connection, others)
        add(connection, [entry(connection, row) for row in others if row.id in indexed])


COLUMNS = (TurnRow.id, TurnRow.channel, TurnRow.question, TurnRow.answer)  # of a turn, to enter it or take it out


def find(connection: Connection, wanted: set[int], above: int, below: int, limit: int) -> tuple[list[int], int]:
    """Turns from id `above` up to before `below` that may have all of these grams in them, newest first.

    Some `limit` of them; and the id down to which these are all there are.
    """
    if connection.dialect.name == "sqlite":
        return _find_in_cells(connection, wanted, above, below, limit)
    found: list[int] = []
    newest, oldest, weeks = (below - 1) >> _WEEK_BITS, above >> _WEEK_BITS, 1
    while newest >= oldest and len(found) < limit:
        lowest = max(oldest, newest - weeks + 1)
        span = range(newest, lowest - 1, -1)
        found += _find_in_weeks(connection, wanted, span, above, below, limit - len(found))
        newest, weeks = lowest - 1, min(weeks * 2, MOST_WEEKS)
    return found, found[-1] if len(found) == limit else above


def _find_in_cells(
    connection: Connection, wanted: set[int], above: int, below: int, limit: int
) -> tuple[list[int], int]:
    cells = (
        "SELECT rowid AS cell FROM turn_grams WHERE turn_grams MATCH ? AND rowid BETWEEN ? AND ?"
        " ORDER BY rowid DESC LIMIT ?"
    )
    statement = (
        f"SELECT c.cell, turns.id FROM ({cells}) AS c LEFT JOIN turns ON turns.id >= ? AND turns.id < ?"
        f" AND turns.id BETWEEN c.cell << {_CELL_BITS} AND (c.cell << {_CELL_BITS}) + {(1 << _CELL_BITS) - 1}"
    )
    span = (above >> _CELL_BITS, (below - 1) >> _CELL_BITS)
    values = (" AND ".join(_tokens(wanted).split()), *span, limit, above, below)
    rows = connection.exec_driver_sql(statement, values).all()
    seen = {cell for cell, _ in rows}
    found = sorted((turn_id for _, turn_id in rows if turn_id is not None), reverse=True)
    return found, max(above, min(seen) << _CELL_BITS) if len(seen) == limit else above


def _find_in_weeks(
    connection: Connection, wanted: set[int], weeks: Iterable[int], above: int, below: int, limit: int
) -> list[int]:
    values: dict[str, object] = {"above": above, "below": below, "limit": limit}
    if connection.dialect.name == "postgresql":
        arrays = [_array(week << _WEEK_BITS, wanted) for week in weeks]
        values |= {f"week{number}": array for number, array in enumerate(arrays)}
        matches = " OR ".join(f"grams @> CAST(:week{number} AS integer[])" for number in range(len(arrays)))
    else:
        each = (_tokens(_of_week(week << _WEEK_BITS, wanted)) for week in weeks)
        values["words"] = " ".join(f"(+{tokens.replace(' ', ' +')})" for tokens in each)
        matches = "MATCH (grams) AGAINST (:words IN BOOLEAN MODE)"
    # `id + 0`: the texts' index is to be used, and not the end of the table, read until enough is found.
    statement = (
        f"SELECT id FROM turn_grams WHERE ({matches}) AND id + 0 >= :above AND id + 0 < :below"
        " ORDER BY id + 0 DESC LIMIT :limit"
    )
    return list(connection.execute(text(statement), values).scalars())


def _of_week(turn_id: int, grams: Iterable[int]) -> list[int]:
    week = (turn_id >> _WEEK_BITS) * 0x85EBCA77
    return [(number ^ week) & _MASK for number in grams]


def _array(turn_id: int, grams: Iterable[int]) -> str:
    signed = (number - (1 << 32) if number >> 31 else number for number in _of_week(turn_id, grams))
    return "{" + ",".join(map(str, signed)) + "}"


def _tokens(grams: Iterable[int]) -> str:
    return " ".join(map("x%08x".__mod__, grams))
