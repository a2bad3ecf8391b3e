"""How a turn gets its answer: claimed by one process, saved as it grows, finished or stopped.

Who writes a turn is decided by one compare-and-set on (`writer`, `attempt`), and every save and finish
carries both: a process that was taken for dead and comes back changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

import orjson
from sqlalchemy import Connection, Table, bindparam, exists, func, select, text, update
from sqlalchemy.orm import aliased

from core.store.turns import OPEN, Status, get
from core.store.users import give_back
from core.tables import ProcessRow, TurnRow, now_ms

_earlier = aliased(TurnRow)
_CLAIMABLE = (
    select(TurnRow.id, TurnRow.attempt, TurnRow.channel)
    .where(
        TurnRow.status == "queued",
        ~exists().where(
            _earlier.user_id == TurnRow.user_id,
            _earlier.status.in_(OPEN),
            _earlier.conversation_id == TurnRow.conversation_id,
            _earlier.seq < TurnRow.seq,
        ),
    )
    .order_by(TurnRow.id)
    .limit(bindparam("limit"))
)


def claimable(connection: Connection, limit: int) -> Sequence[Any]:
    """Queued turns whose turn it is, oldest first: `(id, attempt, channel)`. A conversation is answered in order."""
    return connection.execute(_CLAIMABLE, {"limit": limit}).all()


def count_queued(connection: Connection) -> int:
    """How many turns wait for a writer."""
    return connection.execute(select(func.count()).where(TurnRow.status == "queued")).scalar_one()


def count_open(connection: Connection) -> tuple[int, int]:
    """How many turns wait, and how many are being written."""
    query = select(TurnRow.status, func.count()).where(TurnRow.status.in_(OPEN)).group_by(TurnRow.status)
    counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    return counts.get("queued", 0), counts.get("answering", 0)


def claim(connection: Connection, turn_id: int, attempt: int, writer: int) -> Any:
    """Take a queued turn seen with this attempt; its row, or None if somebody else was faster."""
    statement = (
        update(TurnRow)
        .where(TurnRow.id == turn_id, TurnRow.attempt == attempt, TurnRow.status == "queued")
        .values(
            writer=writer,
            attempt=attempt + 1,
            status="answering",
            answer="",
            reasoning="",
            version=TurnRow.version + 1,
        )
    )
    if connection.execute(statement).rowcount != 1:
        return None
    return get(connection, turn_id)


_TURN = cast(Table, TurnRow.__table__)
MAX_ATTEMPTS = 20  # a question that keeps killing its writer is given up


@dataclass(frozen=True, slots=True)
class Progress:
    """The text of an answer so far."""

    turn_id: int
    attempt: int
    answer: str
    reasoning: str


_SAVE = (
    update(TurnRow)
    .where(
        TurnRow.id == bindparam("turn"),
        TurnRow.writer == bindparam("me"),
        TurnRow.attempt == bindparam("seen"),
        TurnRow.status == "answering",
    )
    .values(answer=bindparam("text"), reasoning=bindparam("thought"), version=TurnRow.version + 1)
)
_SAVE_POSTGRESQL = text(
    "UPDATE turns SET answer = new.answer, reasoning = new.reasoning, version = turns.version + 1 "
    "FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS int[]), CAST(:answers AS text[]),"
    " CAST(:reasonings AS text[])) AS new(id, attempt, answer, reasoning) "
    "WHERE turns.id = new.id AND turns.attempt = new.attempt"
    " AND turns.writer = :me AND turns.status = 'answering'"
)

_SAVE_SQLITE = (
    "UPDATE turns SET answer = new.column3, reasoning = new.column4, version = version + 1 "
    "FROM (VALUES {}) AS new WHERE turns.id = new.column1 AND turns.attempt = new.column2"
    " AND turns.writer = ? AND turns.status = 'answering'"
)


def save(connection: Connection, writer: int, batch: Sequence[Progress]) -> set[int]:
    """Store the text of answers so far; return the ids of those that are no longer this writer's."""
    if connection.dialect.name == "sqlite":
        # One statement: see `Database.write_aside`.
        statement = _SAVE_SQLITE.format(", ".join(["(?, ?, ?, ?)"] * len(batch)))
        values = [value for one in batch for value in (one.turn_id, one.attempt, one.answer, one.reasoning)]
        saved = connection.exec_driver_sql(statement, (*values, writer)).rowcount
    elif connection.dialect.name == "postgresql":  # one statement costs a quarter of `executemany`
        saved = connection.execute(
            _SAVE_POSTGRESQL,
            {
                "me": writer,
                "ids": [one.turn_id for one in batch],
                "attempts": [one.attempt for one in batch],
                "answers": [one.answer for one in batch],
                "reasonings": [one.reasoning for one in batch],
            },
        ).rowcount
    else:
        rows = [
            {"turn": p.turn_id, "me": writer, "seen": p.attempt, "text": p.answer, "thought": p.reasoning}
            for p in batch
        ]
        saved = connection.execute(_SAVE, rows).rowcount
    if saved == len(batch):
        return set()
    mine = select(TurnRow.id, TurnRow.attempt).where(
        TurnRow.id.in_([one.turn_id for one in batch]),
        TurnRow.writer == writer,
        TurnRow.status == "answering",
    )
    kept = {(row.id, row.attempt) for row in connection.execute(mine)}
    return {one.turn_id for one in batch if (one.turn_id, one.attempt) not in kept}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an answer ended, and everything known of it."""

    status: Status
    answer: str
    reasoning: str
    code: str | None = None
    finish_reason: str | None = None
    replaced: bool = False  # the text is another than what readers saw so far: they must begin again
    prompt_version: int | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_ms: int | None = None
    duration_ms: int | None = None
    hits: Sequence[Mapping[str, Any]] = field(default=())  # of the question and of the answer


# Built once: to put a statement together costs more than to execute it.
_OUTCOME = [one.name for one in fields(Outcome) if one.name not in ("replaced", "hits")]
_FINISH = (
    update(_TURN)
    .where(
        _TURN.c.id == bindparam("turn"),
        _TURN.c.writer == bindparam("me"),
        _TURN.c.attempt == bindparam("seen"),
        _TURN.c.status == "answering",
    )
    .values(
        {name: bindparam(f"new_{name}") for name in (*_OUTCOME, "hits", "attempt", "finished_at")}
        | {"version": _TURN.c.version + 1}
    )
)


def finish(connection: Connection, turn_id: int, writer: int, attempt: int, outcome: Outcome) -> bool:
    """Give a turn its final state; False if it is no longer this writer's. A failed one costs no quota."""
    values = {f"new_{name}": getattr(outcome, name) for name in _OUTCOME} | {
        "turn": turn_id,
        "me": writer,
        "seen": attempt,
        # The model's server chooses these; an end that cannot be stored would be tried for ever.
        "new_model": outcome.model and outcome.model[:160],
        "new_finish_reason": outcome.finish_reason and outcome.finish_reason[:32],
        "new_hits": orjson.dumps(outcome.hits).decode() if outcome.hits else None,
        "new_attempt": attempt + 1 if outcome.replaced else attempt,
        "new_finished_at": now_ms(),
    }
    if connection.execute(_FINISH, values).rowcount != 1:
        return False
    if outcome.status == "failed":
        _give_back(connection, turn_id)
    return True


def end_queued(connection: Connection, turn_id: int, attempt: int, status: Status, code: str | None) -> bool:
    """End a turn that nobody writes (yet): stopped by its user, or given up; False if somebody has it now."""
    waiting = (TurnRow.id == turn_id, TurnRow.status == "queued", TurnRow.attempt == attempt)
    final = {"status": status, "code": code, "finished_at": now_ms(), "version": TurnRow.version + 1}
    if connection.execute(update(TurnRow).where(*waiting).values(**final)).rowcount != 1:
        return False
    if status == "failed":
        _give_back(connection, turn_id)
    return True


def _give_back(connection: Connection, turn_id: int) -> None:
    counted = select(TurnRow.user_id, TurnRow.counted_day, TurnRow.counted_minute).where(TurnRow.id == turn_id)
    user_id, day, minute = connection.execute(counted).one()
    if user_id is not None and day is not None and minute is not None:
        give_back(connection, user_id, day, minute)


def request_stop(connection: Connection, turn_id: int) -> None:
    """Ask whichever process writes this turn to stop; it looks at its next tick."""
    open_turn = (TurnRow.id == turn_id, TurnRow.status.in_(OPEN))
    connection.execute(update(TurnRow).where(*open_turn).values(stop_requested=True))


def stops_requested(connection: Connection, writer: int) -> list[int]:
    """Turns this process writes that somebody wants stopped."""
    query = select(TurnRow.id).where(
        TurnRow.status == "answering", TurnRow.writer == writer, TurnRow.stop_requested.is_(True)
    )
    return list(connection.execute(query).scalars())


def written_by(connection: Connection, writer: int) -> Sequence[Any]:
    """The turns that are in the name of a process: `(id, attempt)`."""
    mine = (TurnRow.status == "answering", TurnRow.writer == writer)
    return connection.execute(select(TurnRow.id, TurnRow.attempt).where(*mine)).all()


def release(connection: Connection, writer: int, turn_id: int | None = None) -> int:
    """Put what a process was writing back into the queue, all of it or one turn; returns how many turns."""
    mine = [TurnRow.status == "answering", TurnRow.writer == writer]
    if turn_id is not None:
        mine.append(TurnRow.id == turn_id)
    return connection.execute(update(TurnRow).where(*mine).values(**_WAITING)).rowcount


def requeue_orphans(connection: Connection) -> int:
    """Put turns back whose writer has left no trace; returns how many."""
    nobody = ~exists().where(ProcessRow.id == TurnRow.writer)
    orphans = update(TurnRow).where(TurnRow.status == "answering", nobody).values(**_WAITING)
    return connection.execute(orphans.execution_options(synchronize_session=False)).rowcount


_WAITING: dict[str, Any] = {"status": "queued", "writer": None, "version": TurnRow.version + 1}


def moved(connection: Connection, known: Mapping[int, tuple[int, int, str]]) -> Sequence[Any]:
    """Of the turns known by (attempt, version, status), the whole rows of those that have changed since."""
    heads = select(TurnRow.id, TurnRow.attempt, TurnRow.version, TurnRow.status).where(TurnRow.id.in_(list(known)))
    changed = [row.id for row in connection.execute(heads) if known[row.id] != tuple(row)[1:]]
    if not changed:
        return ()
    return connection.execute(select(TurnRow.__table__).where(TurnRow.id.in_(changed))).all()
