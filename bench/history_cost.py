"""What a question costs in a small and in a large database: `python bench/history_cost.py [--url URL] [COUNT …]`.

For each COUNT (1,000 and 1,000,000 turns unless told) a database is filled; then the statements of one question are
timed, as the api runs them, in each database in turn: the median of many calls, in microseconds. URL names a server
where such databases are made and dropped, instead of files of SQLite. Ends with 1 if a statement of the largest
database reads a whole table.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy import Connection, Table, create_engine, event, make_url

from core import migrate
from core.database import Database
from core.store import conversations, turns, users, writing
from core.store.turns import Options, Question
from core.store.users import Quota
from core.store.writing import Outcome
from core.tables import ConversationRow, TurnRow, UserRow, new_id

QUOTA = Quota(0, 0, "Asia/Shanghai")
TURNS_PER_CONVERSATION, CONVERSATIONS_PER_USER = 20, 10
MINE = 50  # conversations of the user who is measured, and turns in each
CALLS = 300
ME = 1  # a process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[1_000, 1_000_000], metavar="COUNT")
    parser.add_argument("--url", help="of a server, with a database to connect to")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        databases = []
        for count in asked.counts:
            database = stack.enter_context(made(asked.url, folder, f"history_cost_{count}"))
            began = time.monotonic()
            databases.append((database, statements(database, *fill(database, count))))
            print(f"{count:,} turns in {database.dialect}, filled in {time.monotonic() - began:.0f} s", flush=True)
        print(f"\n{'µs':<28}" + "".join(f"{count:>14,}" for count in asked.counts))
        for name in databases[0][1]:
            costs = cost([works[name] for _, works in databases])
            print(f"{name:<28}" + "".join(f"{each:>14,.0f}" for each in costs), flush=True)
        largest = databases[asked.counts.index(max(asked.counts))]  # a small table is read whole, and rightly
        scans = list(whole_tables(*largest))
    for name, line in scans:
        print(f"reads a whole table: {name}: {line}")
    return 1 if scans else 0


@contextlib.contextmanager
def made(url: str | None, folder: str, name: str) -> Iterator[Database]:
    """A migrated database of this name."""
    if url:
        server = create_engine(url, isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    database = Database(
        make_url(url).set(database=name).render_as_string(False) if url else f"sqlite:///{folder}/{name}"
    )
    try:
        migrate.upgrade(database)
        yield database
    finally:
        database.dispose()
        if url:
            with server.connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE {name}")
            server.dispose()


# ---- Filling


def fill(database: Database, count: int) -> tuple[int, int]:
    """So many turns of strangers, and those of the user to measure; that user, and a conversation of theirs."""
    strangers = max(1, count // (TURNS_PER_CONVERSATION * CONVERSATIONS_PER_USER))
    ids = range(1, strangers + 1)
    bulk(database, UserRow.__table__, (a_user(number) for number in ids))
    bulk(
        database,
        ConversationRow.__table__,
        (a_conversation(talk, number) for number in ids for talk in talks(number, CONVERSATIONS_PER_USER)),
    )
    bulk(
        database,
        TurnRow.__table__,
        (
            a_turn(talk * 100 + seq, number, talk, seq)
            for seq in range(1, TURNS_PER_CONVERSATION + 1)  # as they come: of many people in turn
            for number in ids
            for talk in talks(number, CONVERSATIONS_PER_USER)
        ),
    )
    me = 10_000_000
    bulk(database, UserRow.__table__, [a_user(me)])
    bulk(database, ConversationRow.__table__, [a_conversation(talk, me) for talk in talks(me, MINE)])
    mine = [a_turn(talk * 100 + seq, me, talk, seq) for talk in talks(me, MINE) for seq in range(1, MINE + 1)]
    bulk(database, TurnRow.__table__, mine)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        names = ("turns", "conversations", "users")
        for statement in [f"ANALYZE TABLE {', '.join(names)}"] if database.dialect == "mysql" else []:
            connection.exec_driver_sql(statement)
        if database.dialect == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")
    return me, talks(me, MINE)[MINE // 2]


def talks(user: int, count: int) -> range:
    """Ids of the conversations of a user."""
    return range(user * 1000, user * 1000 + count)


def a_user(number: int) -> dict[str, Any]:
    return {"id": number, "created_at": 0, "day": 0, "day_count": 0, "minute": 0, "minute_count": 0}


def a_conversation(talk: int, user: int) -> dict[str, Any]:
    return {
        "id": talk,
        "user_id": user,
        "channel": "miniprogram",
        "title": "一个对话",
        "last_seq": MINE,
        "created_at": talk,
        "updated_at": talk,
    }


def a_turn(number: int, user: int, talk: int, seq: int) -> dict[str, Any]:
    return {
        "id": number,
        "user_id": user,
        "conversation_id": talk,
        "seq": seq,
        "channel": "miniprogram",
        "request_key": str(number),
        "question": "今天北京的天气怎么样？",
        "options": '{"max_tokens":500,"thinking":false}',
        "status": "failed" if number % 50 == 0 else "done",
        "writer": ME,
        "attempt": 1,
        "version": 1,
        "stop_requested": False,
        "answer": "今天北京晴，最高气温 12 度，西北风三级，适合出门走走。" * 3,
        "reasoning": "",
        "superseded": False,
        "first_token_ms": 300,
        "duration_ms": 4000,
        "created_at": number,
    }


def bulk(database: Database, table: Table, rows: Any) -> None:
    """Insert rows by the fastest way each driver has."""
    names: tuple[str, ...] = ()

    def values() -> Iterator[tuple[Any, ...]]:
        nonlocal names
        for row in rows:
            names = names or tuple(row)
            yield tuple(row.values())

    data = values()
    while chunk := list(islice(data, 20_000)):
        quote = "`" if database.dialect == "mysql" else '"'
        columns = ", ".join(f"{quote}{name}{quote}" for name in names)
        with database.transaction() as connection:
            if database.dialect == "postgresql":
                with (
                    connection.connection.cursor() as cursor,
                    cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy,
                ):
                    for one in chunk:
                        copy.write_row(one)
                connection.connection.commit()  # SQLAlchemy has seen nothing of it
            else:
                mark = "%s" if database.dialect == "mysql" else "?"
                marks = ", ".join([mark] * len(names))
                connection.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", chunk)


# ---- Measuring


def statements(database: Database, me: int, talk: int) -> dict[str, Callable[[], Any]]:
    """What is timed, as the engine calls it."""

    def question(conversation: int | None) -> Question:
        asked = {"conversation_id": conversation or new_id(), "new_conversation": conversation is None}
        return Question(new_id(), me, "miniprogram", "你好", Options(500), request_key=str(new_id()), **asked)

    def accept(conversation: int | None) -> None:
        turn = database.write(turns.accept, question(conversation), QUOTA, ME, order=me)
        database.write(writing.finish, turn.id, ME, 1, Outcome("done", "好的，没问题。", ""))

    token, _ = database.write(users.open_session, me, 1)
    last = (talks(me, MINE)[-1], 0)
    return {
        "users.caller": partial(database.read, users.caller, token),
        "turns.history": partial(database.read, turns.history, talk, MINE, 5),
        "accept + finish": partial(accept, talk),
        "accept + finish, first one": partial(accept, None),
        "turns.get_of_user": partial(database.read, turns.get_of_user, talk * 100 + 1, me),
        "conversations.page": partial(database.read, conversations.page, me, 20, None),
        "conversations.page, second": partial(database.read, conversations.page, me, 20, last),
        "conversations.turns": partial(database.read, conversations.turns, me, talk, 20, None),
        "writing.claimable": partial(database.read, writing.claimable, 1000),
        "writing.count_queued": partial(database.read, writing.count_queued),
        "writing.stops_requested": partial(database.read, writing.stops_requested, ME),
        "turns.recent_speed": partial(database.read, turns.recent_speed),
    }


def cost(works: list[Callable[[], Any]]) -> list[float]:
    """Microseconds of each, the median; fewer calls where they take long."""
    seconds: list[list[float]] = [[] for _ in works]
    give_up = time.monotonic() + 8
    for round_ in range(CALLS):
        for number, work in enumerate(works):
            began = time.perf_counter()
            work()
            if round_:  # the first one warms up
                seconds[number].append(time.perf_counter() - began)
        if round_ >= 3 and time.monotonic() > give_up:
            break
    return [median(one) * 1e6 for one in seconds]


def whole_tables(database: Database, works: dict[str, Callable[[], Any]]) -> Iterator[tuple[str, str]]:
    """Of each work the lines of its query plans that read every row of a table."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        if not many and statement.startswith(("SELECT", "UPDATE")):
            seen.append((statement, values))

    for name, work in works.items():
        if name == "turns.recent_speed":
            continue  # reads the end of the table, and its LIMIT is no part of the plan
        seen.clear()
        event.listen(database.engine, "before_cursor_execute", note)
        work()
        event.remove(database.engine, "before_cursor_execute", note)
        for statement, values in seen:
            plan = database.read(explain, statement, values)
            for line in plan:
                if reads_all(database.dialect, line):
                    yield name, line


def explain(connection: Connection, statement: str, values: Any) -> list[str]:
    words = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    return [" ".join(map(str, row)) for row in connection.exec_driver_sql(f"{words} {statement}", values)]


def reads_all(dialect: str, line: str) -> bool:
    if dialect == "postgresql":
        return "Seq Scan on turns" in line or "Seq Scan on conversations" in line
    if dialect == "mysql":
        return " ALL " in line and (" turns " in line or " conversations " in line)
    return "SCAN" in line and "USING" not in line and ("turns" in line or "conversations" in line)


if __name__ == "__main__":
    sys.exit(main())
