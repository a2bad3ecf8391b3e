"""Lists of turns that have something in common, to find the rare ones among a million by.

What a turn is marked with when it is over never changes: channel, status, prompt version, words masked in it, how
long it took. What staff and users do later marks it when they do it. `open` are turns that were not over yet when the
indexer came by.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select

from core.store.upsert import insert_if_absent
from core.tables import TurnMarkRow

LATER = ("up", "down", "reported", "noted")
# A turn is marked with each of these that it, or its first token, took as long as, or longer.
SECONDS = {"t": (5, 10, 20, 40, 80, 160), "f": (2, 5, 10, 20, 40, 80)}
_INSERT = insert(TurnMarkRow.__table__)  # type: ignore[arg-type]


def channel(name: str) -> str:
    """The mark that every turn in the index has."""
    return f"c:{name}"


def status(name: str) -> str:
    return f"s:{name}"


def version(number: int) -> str:
    return f"v:{number}"


def took(milliseconds: int | None, what: Literal["t", "f"] = "t") -> str | None:
    """The mark of all turns that took so long (and some that did not quite); None if that is nothing special.

    `f` is the time to the first token.
    """
    steps = _steps(what, milliseconds)
    return steps[-1] if steps else None


def _steps(what: Literal["t", "f"], milliseconds: int | None) -> list[str]:
    return [f"{what}:{seconds}" for seconds in SECONDS[what] if seconds * 1000 <= (milliseconds or 0)]


def masked(hits: str | None) -> bool:
    return '"action":"mask"' in (hits or "")


def of(turn: Any) -> list[str]:
    """What a turn's row is marked with when it is over."""
    found = [channel(turn.channel), status(turn.status)]
    if turn.prompt_version is not None:
        found.append(version(turn.prompt_version))
    if masked(turn.hits):
        found.append("masked")
    longest = max(turn.duration_ms or 0, turn.first_token_ms or 0)
    return found + _steps("t", longest) + _steps("f", turn.first_token_ms)


def put_all(connection: Connection, marked: Iterable[tuple[str, int]]) -> None:
    """Marks with the turns that have them; none of them is there yet."""
    rows = [{"mark": mark, "turn_id": turn_id} for mark, turn_id in sorted(marked)]
    if rows:
        connection.execute(_INSERT, rows)


def put(connection: Connection, mark: str, turn_id: int) -> None:
    insert_if_absent(connection, TurnMarkRow, mark=mark, turn_id=turn_id)


def take(connection: Connection, mark: str, turn_ids: Iterable[int]) -> None:
    mine = (TurnMarkRow.mark == mark, TurnMarkRow.turn_id.in_(list(turn_ids)))
    connection.execute(delete(TurnMarkRow).where(*mine))


def take_all(connection: Connection, marked: Mapping[str, Sequence[int]]) -> None:
    for mark, turn_ids in marked.items():
        take(connection, mark, turn_ids)


def find(connection: Connection, mark: str, above: int, below: int, limit: int) -> list[int]:
    """Turns from id `above` up to before `below` that are marked so, newest first."""
    query = select(TurnMarkRow.turn_id).where(
        TurnMarkRow.mark == mark, TurnMarkRow.turn_id >= above, TurnMarkRow.turn_id < below
    )
    return list(connection.execute(query.order_by(TurnMarkRow.turn_id.desc()).limit(limit)).scalars())


def indexed(connection: Connection, turns: Sequence[Any]) -> set[int]:
    """Which of these turns (rows with id and channel) the indexer has been to."""
    found: set[int] = set()
    for name in {turn.channel for turn in turns}:
        ids = [turn.id for turn in turns if turn.channel == name]
        query = select(TurnMarkRow.turn_id).where(TurnMarkRow.mark == channel(name), TurnMarkRow.turn_id.in_(ids))
        found.update(connection.execute(query).scalars())
    return found
