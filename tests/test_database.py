import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import core.database
from core.database import Database, begin_immediate
from core.errors import Busy
from core.store import content
from core.tables import OptionRow, RevisionRow
from tests.server import ROOT, wait_until
from tests.stores import Pristine, in_threads, second_process


def put(connection: Connection, name: str, value: str = "1") -> str:
    connection.execute(insert(OptionRow).values(name=name, value=value))
    return name


def put_and(connection: Connection, fault: Exception, name: str) -> None:
    put(connection, name)
    raise fault


def refuse(connection: Connection) -> None:
    raise Busy("not now")


def stored(database: Database) -> set[str]:
    return {name for name in database.read(content.options) if name.startswith("test")}


def add_one(connection: Connection) -> None:
    connection.execute(update(RevisionRow).where(RevisionRow.name == "words").values(number=RevisionRow.number + 1))


def revision(connection: Connection) -> int:
    return content.revisions(connection)["words"]


def waiting(database: Database) -> int:
    return len(database._queue)


def written_together(database: Database, *works: Callable[[Connection], Any], orders: Any = None) -> list[Any]:
    """What `write` returns or raises for each of these, which all queued while another write was running."""
    entered, go = threading.Event(), threading.Event()
    results: list[Any] = [None] * len(works)

    def hold(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        entered.set()
        assert go.wait(10)

    def run(number: int) -> None:
        try:
            results[number] = database.write(works[number], order=orders[number] if orders else 0)
        except Exception as fault:
            results[number] = fault

    holder = threading.Thread(target=database.write, args=(hold,), daemon=True)
    holder.start()
    assert entered.wait(10)
    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(works))]
    for number, thread in enumerate(threads):
        thread.start()
        wait_until(lambda: waiting(database) > number)  # noqa: B023 (called before the next round)
    go.set()
    for thread in (holder, *threads):
        thread.join(20)
        assert not thread.is_alive(), "it hangs"
    return results


@contextmanager
def commits(database: Database) -> Iterator[list[int]]:
    """Grows by one with every transaction that is committed."""
    seen: list[int] = []

    def count(_connection: Connection) -> None:
        seen.append(1)

    event.listen(database.engine, "commit", count)
    try:
        yield seen
    finally:
        event.remove(database.engine, "commit", count)


# ---- Group commit


def test_a_write_returns_what_its_function_returns_once_that_is_committed(any_database: Database) -> None:
    assert any_database.write(put, "test", value="2") == "test"
    with second_process(any_database) as other:
        assert other.read(content.options)["test"] == 2


def test_writes_that_come_together_share_one_transaction(any_database: Database) -> None:
    with commits(any_database) as seen:
        results = written_together(any_database, *(partial(put, name=f"test{n}") for n in range(5)))
    assert results == [f"test{n}" for n in range(5)]
    assert len(stored(any_database)) == 5
    assert len(seen) == 2  # of the write that held the others up, and of theirs


def test_a_transaction_takes_no_more_writes_than_a_batch(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.database, "BATCH", 3)
    with commits(database) as seen:
        results = written_together(database, *(partial(put, name=f"test{n}") for n in range(7)))
    assert results == [f"test{n}" for n in range(7)]
    assert len(seen) == 1 + 3


def test_a_batch_runs_in_the_order_given_so_that_two_processes_lock_alike(database: Database) -> None:
    ran: list[int] = []

    def note(_connection: Connection, order: int) -> None:
        ran.append(order)

    orders = [3, 1, 2, 1]
    written_together(database, *(partial(note, order=order) for order in orders), orders=orders)
    assert ran == [1, 1, 2, 3]


def test_a_refusal_reaches_its_own_caller_and_rolls_nothing_of_the_others_back(any_database: Database) -> None:
    with commits(any_database) as seen:
        first, refused, last = written_together(
            any_database, partial(put, name="test1"), refuse, partial(put, name="test2")
        )
    assert (first, last) == ("test1", "test2")
    assert isinstance(refused, Busy)
    assert stored(any_database) == {"test1", "test2"}
    assert len(seen) == 2


def test_a_bug_rolls_back_its_own_write_and_no_other(any_database: Database) -> None:
    bug = ZeroDivisionError("a bug")
    first, failed, last = written_together(
        any_database,
        partial(put, name="test1"),
        partial(put_and, fault=bug, name="test2"),
        partial(put, name="test3"),
    )
    assert (first, failed, last) == ("test1", bug, "test3")
    assert stored(any_database) == {"test1", "test3"}


def test_a_statement_the_database_refuses_fails_alone(any_database: Database) -> None:
    """PostgreSQL gives up the whole transaction after one failed statement."""
    any_database.write(put, "test0")
    first, failed, last = written_together(
        any_database, partial(put, name="test1"), partial(put, name="test0"), partial(put, name="test2")
    )
    assert (first, last) == ("test1", "test2")
    assert isinstance(failed, IntegrityError)
    assert stored(any_database) == {"test0", "test1", "test2"}


def test_a_bug_in_a_write_that_comes_alone_is_not_tried_again(database: Database) -> None:
    tries: list[int] = []

    def fail(connection: Connection) -> None:
        tries.append(1)
        put_and(connection, ZeroDivisionError(), "test")

    with pytest.raises(ZeroDivisionError):
        database.write(fail)
    assert len(tries) == 1
    assert stored(database) == set()
    assert database.write(put, "test") == "test"  # and the queue goes on


def test_of_many_threads_in_two_processes_no_write_is_lost(any_database: Database) -> None:
    before = any_database.read(revision)

    def work(database: Database) -> None:
        for _ in range(15):
            database.write(add_one)

    with second_process(any_database) as other:
        results = in_threads(*[partial(work, any_database)] * 8, *[partial(work, other)] * 4)
    assert results == [None] * 12
    assert any_database.read(revision) == before + 12 * 15


def test_who_is_interrupted_while_committing_leaves_the_lead_to_those_who_wait(database: Database) -> None:
    entered, caught = threading.Event(), []

    def interrupted(_connection: Connection) -> None:
        entered.set()
        wait_until(lambda: waiting(database) == 2)
        raise KeyboardInterrupt  # Ctrl-C

    def lead() -> None:
        try:
            database.write(interrupted)
        except KeyboardInterrupt as interrupt:
            caught.append(interrupt)

    leader = threading.Thread(target=lead, daemon=True)
    leader.start()
    assert entered.wait(10)
    results = in_threads(partial(database.write, put, "test1"), partial(database.write, put, "test2"))
    leader.join(10)
    assert len(caught) == 1
    assert set(results) == stored(database) == {"test1", "test2"}


def test_writes_in_the_batch_of_one_who_is_interrupted_are_not_taken_for_stored(database: Database) -> None:
    def interrupt(_connection: Connection) -> None:
        raise KeyboardInterrupt

    outcome: list[object] = []

    def interrupted() -> None:
        try:
            database.write(interrupt, order=2)
        except KeyboardInterrupt:
            outcome.append("interrupted")

    entered, go = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        entered.set()
        assert go.wait(10)

    threads = [threading.Thread(target=database.write, args=(hold,), daemon=True)]
    threads[0].start()
    assert entered.wait(10)
    for number, target in enumerate((interrupted, partial(database.write, put, "test1"))):
        threads.append(threading.Thread(target=target, daemon=True))
        threads[-1].start()
        wait_until(lambda: waiting(database) > number)  # noqa: B023
    go.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive(), "it hangs"
    assert outcome == ["interrupted"]
    assert stored(database) == {"test1"}


def test_who_is_interrupted_while_waiting_does_not_stop_the_queue(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(core.database.time, "sleep", interrupt)  # where the leader lets others join
        with pytest.raises(KeyboardInterrupt):
            database.write(put, "test1")
    [result] = in_threads(partial(database.write, put, "test2"))
    assert result == "test2"
    assert stored(database) == {"test2"}


# ---- SQLite and its one lock

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE revisions SET number = 1000 WHERE name = 'words'")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


@contextmanager
def locked_by_another_process(database: Database, seconds: float) -> Iterator[None]:
    command = [sys.executable, "-c", HOLDER, str(database.url.database), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield
    assert holder.returncode == 0


def test_sqlite_locked_by_another_process_for_a_second_loses_no_write(database: Database) -> None:
    with locked_by_another_process(database, 1.0):
        assert database.read(revision) == 1  # who reads need not wait
        results = in_threads(*[partial(database.write, add_one)] * 4, partial(database.write_aside, add_one))
    assert results == [None] * 5
    assert database.read(revision) == 1005


def test_sqlite_locked_for_too_long_fails_the_write_and_not_those_after_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.database, "begin_immediate", partial(begin_immediate, seconds=0.05))
    with database.engine.connect() as holder:
        begin_immediate(holder)
        with pytest.raises(OperationalError, match="locked"):
            database.write(put, "test1")
        holder.rollback()
    assert database.write(put, "test2") == "test2"
    assert stored(database) == {"test2"}


def test_a_read_waits_while_sqlite_is_locked(database: Database) -> None:
    calls: list[int] = []

    def sometimes_locked(connection: Connection) -> str:
        calls.append(1)
        if len(calls) < 3:
            import sqlite3

            raise OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked"))
        return "read"

    assert database.read(sometimes_locked) == "read"
    assert len(calls) == 3


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    memory = Database("sqlite://")
    memory.write(lambda connection: connection.exec_driver_sql("CREATE TABLE options (name TEXT, value TEXT)"))
    results = in_threads(*(partial(memory.write, put, f"test{n}") for n in range(4)))
    assert sorted(results) == [f"test{n}" for n in range(4)]
    assert memory.write_aside(partial(put, name="test4")) == "test4"
    assert len(memory.read(content.options)) == 5
    memory.dispose()


def test_sqlite_keeps_foreign_keys_and_writes_ahead(database: Database) -> None:
    def pragmas(connection: Connection) -> tuple[Any, ...]:
        names = ("foreign_keys", "journal_mode", "synchronous", "busy_timeout")
        return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names)

    assert database.read(pragmas) == (1, "wal", 1, 0)


# ---- Connections that die, and deadlocks


def kill(database: Database, connection: Connection | None = None) -> None:
    """Have the server drop this connection, or all that the database has but our own."""
    postgresql = database.dialect == "postgresql"
    own = "SELECT pg_backend_pid()" if postgresql else "SELECT connection_id()"
    with second_process(database) as other, other.engine.connect() as executioner:
        if connection is not None:
            victims = [connection.execute(text(own)).scalar()]
        elif postgresql:
            found = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            victims = list(executioner.execute(text(found)).scalars())
        else:
            found = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
            victims = list(executioner.execute(text(found)).scalars())
        assert victims
        for victim in victims:
            executioner.execute(
                text("SELECT pg_terminate_backend(:id)" if postgresql else "KILL :id"), {"id": victim}
            )
        executioner.commit()


@pytest.fixture(params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest, tmp_path: Path, pristine: Callable[[str], Pristine]) -> Iterator[Database]:
    """A database whose connections may die: behind a server, that is."""
    with pristine(request.param).opened(tmp_path) as database:
        yield database


def fill_pool(database: Database) -> None:
    with database.engine.connect() as one, database.engine.connect() as other:
        for connection in (one, other):
            connection.execute(text("SELECT 1"))


def test_reads_and_writes_do_not_notice_that_every_idle_connection_has_died(server: Database) -> None:
    fill_pool(server)
    kill(server)
    assert server.read(revision) == 1
    fill_pool(server)
    kill(server)
    assert server.write(put, "test1") == "test1"
    fill_pool(server)
    kill(server)
    assert server.write_aside(partial(put, name="test2")) == "test2"
    assert stored(server) == {"test1", "test2"}


def test_a_write_whose_connection_dies_in_the_midst_is_stored_once(server: Database) -> None:
    tries: list[int] = []

    def killed_once(connection: Connection) -> str:
        add_one(connection)
        tries.append(1)
        if len(tries) == 1:
            kill(server, connection)
        return put(connection, "test")

    assert server.write(killed_once) == "test"
    assert len(tries) == 2
    assert server.read(revision) == 2


def test_the_whole_batch_survives_a_connection_that_dies(server: Database) -> None:
    tries: list[int] = []

    def killed_once(connection: Connection) -> str:
        tries.append(1)
        if len(tries) == 1:
            kill(server, connection)
        return put(connection, "test1")

    results = written_together(server, partial(put, name="test0"), killed_once, partial(put, name="test2"))
    assert results == ["test0", "test1", "test2"]
    assert stored(server) == {"test0", "test1", "test2"}


def test_a_batch_worth_a_retry_is_run_once_more_together(server: Database) -> None:
    """One by one, on a busy server, it would cost a commit each."""
    seen: list[Connection] = []

    def watched(connection: Connection, name: str, dies: bool = False) -> str:
        seen.append(connection)
        if dies and len(seen) <= 3:
            kill(server, connection)
        return put(connection, name)

    works = [partial(watched, name=f"test{number}", dies=number == 1) for number in range(3)]
    assert written_together(server, *works) == ["test0", "test1", "test2"]
    assert len(seen) == 5  # two, then three
    assert len(set(map(id, seen[2:]))) == 1


def test_a_read_is_tried_once_more_on_a_fresh_connection_and_then_given_up(server: Database) -> None:
    tries: list[int] = []

    def killed(connection: Connection, times: int) -> int:
        tries.append(1)
        if len(tries) <= times:
            kill(server, connection)
        return revision(connection)

    assert server.read(killed, times=1) == 1
    assert len(tries) == 2
    tries.clear()
    with pytest.raises(OperationalError):
        server.read(killed, times=2)
    assert len(tries) == 2


def test_a_deadlock_between_two_processes_is_resolved_by_trying_again(server: Database) -> None:
    both_have_one = threading.Barrier(2, timeout=10)
    tries: list[str] = []

    def lock_two(connection: Connection, first: str, second: str) -> None:
        tries.append(first)
        for name in (first, second):
            row = update(RevisionRow).where(RevisionRow.name == name)
            connection.execute(row.values(number=RevisionRow.number + 1))
            if name == first and tries.count(first) == 1:
                both_have_one.wait()

    before = server.read(content.revisions)
    with second_process(server) as other:
        results = in_threads(
            partial(server.write, lock_two, "words", "prompts"), partial(other.write, lock_two, "prompts", "words")
        )
    assert results == [None, None]
    assert len(tries) >= 3  # there was a deadlock
    after = server.read(content.revisions)
    assert (after["words"], after["prompts"]) == (before["words"] + 2, before["prompts"] + 2)


def test_no_connection_is_kept_by_who_fails(any_database: Database) -> None:
    for _ in range(40):  # more than the pool holds
        with pytest.raises(ZeroDivisionError):
            any_database.write(put_and, ZeroDivisionError(), "test")
        with pytest.raises(Busy):
            any_database.read(refuse)
        with pytest.raises(ZeroDivisionError):
            any_database.write_aside(partial(put_and, fault=ZeroDivisionError(), name="test"))
    try:
        assert any_database.write(put, "test") == "test"
    except PoolTimeout:
        pytest.fail("connections were kept")


# ---- Under gevent

GREENLETS = """
from gevent import monkey
monkey.patch_all()
import json, sys, time
import gevent
from functools import partial
from sqlalchemy import update
from core.database import Database
from core.tables import RevisionRow

database = Database(f"sqlite:///{sys.argv[1]}")
gaps, ended = [], False

def watch():
    last = time.monotonic()
    while not ended:
        gevent.sleep(0.005)
        now = time.monotonic()
        gaps.append(now - last)
        last = now

def add_one(connection):
    row = update(RevisionRow).where(RevisionRow.name == "words").values(number=RevisionRow.number + 1)
    connection.execute(row)
    return "done"

def take_long(connection):
    add_one(connection)
    return connection.exec_driver_sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n",
        (int(sys.argv[2]),),
    ).scalar()

watcher = gevent.spawn(watch)
gevent.sleep(0.05)
print("ready", flush=True)
input()
began = time.monotonic()
works = [gevent.spawn(partial(database.write, add_one)) for _ in range(5)]
works.append(gevent.spawn(partial(database.write_aside, add_one)))
gevent.joinall(works, raise_error=True)
waited = time.monotonic() - began
took = time.monotonic()
counted = database.write_aside(take_long)
took = time.monotonic() - took
ended = True
watcher.join()
database.dispose()
print(json.dumps({"results": [one.value for one in works], "waited": waited, "took": took, "counted": counted,
                  "gap": max(gaps), "steps": len(gaps)}), flush=True)
"""


def test_neither_a_locked_sqlite_nor_a_large_write_aside_stops_the_other_greenlets(database: Database) -> None:
    rows = 2_000_000
    command = [sys.executable, "-c", GREENLETS, str(database.url.database), str(rows)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with locked_by_another_process(database, 0.7):
            process.stdin.write("\n")
            process.stdin.flush()
        told = json.loads(process.stdout.readline())
    assert process.returncode == 0
    assert told["results"] == ["done"] * 6
    assert told["counted"] == rows
    assert database.read(revision) == 1000 + 6 + 1
    assert told["waited"] > 0.4 and told["took"] > 0.1  # there was something to wait for
    assert told["gap"] < min(0.3, told["waited"] / 2), told
