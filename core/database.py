"""The database: connections, transactions, group commit, retries. What is stored is in `core/store/`.

Functions of the store take a Connection first; `read` and `write` run them:

    database.read(turns.get, turn_id)
    database.write(turns.accept, question, order=user_id)

Writes of one process that come at the same time share one transaction (a commit costs more than a row): the
first to come runs all that queue behind it, in the order of `order`, so that two processes lock the same rows
in the same order. A function must refuse (raise a `ChatError`) before it has written anything; any other
exception rolls the batch back, and each function is run once more alone (after a deadlock, once more together first).
"""

import contextlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from gevent import get_hub, monkey
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import StaticPool

from core.errors import ChatError

R = TypeVar("R")

BATCH = 100  # functions in one transaction
LOCK_SECONDS = 5.0  # how long a writer waits for SQLite's one lock
TRIES = 3  # after a deadlock, or a connection that died
CONNECT_SECONDS = 5
AWAY_SECONDS = 4.0  # how long a server that is being restarted is waited for; a delivery of WeChat's lasts 5
REFUSAL_SECONDS = 5.0  # how long a failed write is told; the processes' heartbeats are written more often
RESUME_SECONDS = 30.0  # a serverless one that sleeps has promised to come


class Database:
    """One database: SQLite, PostgreSQL or MySQL/MariaDB, by its SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.dialect = self.url.get_backend_name()
        self.in_memory = self.dialect == "sqlite" and not self.url.database
        if self.dialect == "sqlite" and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._refused: tuple[float, str] = (float("-inf"), "")
        self.engine = self._engine()
        # A read needs no transaction: in PostgreSQL that saves two round trips of three.
        autocommit = {"isolation_level": "AUTOCOMMIT"} if self.dialect == "postgresql" else {}
        self._reader = self.engine.execution_options(**autocommit)
        self._lock = threading.Lock()
        self._queue: list[_Write] = []
        self._leader: _Write | None = None  # whose thread commits, or is about to
        self._aside: ThreadPool | None = None
        self._aside_engine: Engine | None = None

    def _engine(self, **options: Any) -> Engine:
        if self.dialect == "sqlite":
            # A waiting sqlite3 call would stop every greenlet of the process: never wait inside SQLite.
            options.setdefault("connect_args", {"timeout": 0, "check_same_thread": False})
            if self.in_memory:
                options["poolclass"] = StaticPool
        else:
            options |= {"pool_size": 10, "max_overflow": 20, "pool_recycle": 1800}
            options["isolation_level"] = "READ COMMITTED"
            options["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
        engine = create_engine(self.url, hide_parameters=True, **options)  # what users wrote stays out of the log
        event.listen(engine, "handle_error", self._notice_a_refusal)
        if self.dialect == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)
        else:
            event.listen(engine, "do_connect", _connect_patiently)
            event.listen(engine, "handle_error", _notice_a_server_that_leaves)
        if self.dialect == "postgresql":
            event.listen(engine, "connect", _prepare_postgresql)
        return engine

    def _notice_a_refusal(self, context: Any) -> None:
        if _UNWRITABLE.search(str(context.original_exception)):
            self._refused = (time.monotonic(), str(context.original_exception).splitlines()[0])

    @property
    def refusal(self) -> str | None:
        """Why nothing could be written a moment ago (a full disk, a replica), though the database answers."""
        at, why = self._refused
        return why if time.monotonic() - at < REFUSAL_SECONDS else None

    def read(self, work: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Run `work` on a connection; once more if that turns out to be dead, or while SQLite is locked."""
        give_up = time.monotonic() + LOCK_SECONDS
        fresh = False
        while True:
            try:
                with self._reader.connect() as connection:
                    return work(connection, *args, **kwargs)
            except DBAPIError as exc:
                if exc.connection_invalidated and not fresh:
                    fresh = True
                elif not _locked(exc) or time.monotonic() > give_up:
                    raise
            time.sleep(random.uniform(0.002, 0.015))

    def write(self, work: Callable[..., R], /, *args: Any, order: int = 0, **kwargs: Any) -> R:
        """Run `work` in a transaction shared with others; return its result once that is committed."""
        mine = _Write(lambda connection: work(connection, *args, **kwargs), order)
        with self._lock:
            self._queue.append(mine)
            self._leader = self._leader or mine
            lead = self._leader is mine
        try:
            if lead:
                time.sleep(0)  # let those who are about to write join
            else:
                mine.wake.wait()
        except BaseException:  # we are interrupted (Ctrl-C)
            self._withdraw(mine)
            raise
        if not mine.finished:
            self._commit_batch(mine)
        return cast(R, mine.outcome())

    def _commit_batch(self, mine: "_Write") -> None:
        """Commit what waits, then hand the lead to the next in the queue."""
        with self._lock:
            batch, self._queue = self._queue[:BATCH], self._queue[BATCH:]
        try:
            self._run(batch)
        finally:
            with self._lock:
                # If we are interrupted, what is undone of the others passes to the next.
                self._queue[:0] = [one for one in batch if not one.finished and one is not mine]
                self._pass_lead()
            for one in batch:
                if one.finished:
                    one.wake.set()

    def _pass_lead(self) -> None:
        self._leader = self._queue[0] if self._queue else None
        if self._leader:
            self._leader.wake.set()

    def _withdraw(self, mine: "_Write") -> None:
        with self._lock:
            if mine in self._queue:  # else another thread is committing it
                self._queue.remove(mine)
                if self._leader is mine:
                    self._pass_lead()

    def _run(self, batch: list["_Write"]) -> None:
        batch.sort(key=lambda one: one.order)
        for again in (True, False):
            try:
                with self.transaction() as connection:
                    for one in batch:
                        one.run(connection)
                for one in batch:
                    one.finished = True
                return
            except Exception as exc:
                retry = _worth_a_retry(exc)
                if len(batch) == 1 and not retry:
                    batch[0].fail(exc)
                    return
            if not (again and retry):
                break
            time.sleep(random.uniform(0.005, 0.05))  # a deadlock: all of it once more, which is much cheaper
        for one in batch:
            self._run_alone(one)

    def _run_alone(self, one: "_Write") -> None:
        for attempt in range(1, TRIES + 1):
            try:
                with self.transaction() as connection:
                    one.run(connection)
                one.finished = True
                return
            except Exception as exc:
                if attempt == TRIES or not _worth_a_retry(exc):
                    one.fail(exc)
                    return
                time.sleep(random.uniform(0.005, 0.05) * attempt)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that may write; SQLite's lock is taken at once, and without blocking the process."""
        with self.engine.connect() as connection:
            if self.dialect == "sqlite":
                begin_immediate(connection)
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def write_aside(self, work: Callable[[Connection], R], *, one_statement: bool = False) -> R:
        """Run a large write where it cannot hold up the others.

        SQLite's calls block, so in a process of greenlets they go to one native thread with a connection of
        its own; the drivers of PostgreSQL and MySQL wait on patched sockets and need no thread.

        Work that changes something by `one_statement` only is given no transaction around it in that thread. It
        would wait for the interpreter between BEGIN and COMMIT, and everybody else for SQLite's lock.
        """
        if self.dialect != "sqlite" or self.in_memory or not monkey.is_module_patched("threading"):
            alone = _Write(work, 0)
            self._run_alone(alone)
            return cast(R, alone.outcome())
        if self._aside is None:
            self._aside = ThreadPool(1, hub=get_hub())
            # One connection for one thread: a pool's locks must not be shared between hub and thread.
            arguments = {"timeout": LOCK_SECONDS, "check_same_thread": False}
            self._aside_engine = self._engine(poolclass=StaticPool, connect_args=arguments)
        return cast(R, self._aside.apply(self._run_aside, (work, one_statement)))

    def _run_aside(self, work: Callable[[Connection], R], one_statement: bool) -> R:
        assert self._aside_engine is not None
        with self._aside_engine.connect() as connection:
            if one_statement:
                return work(connection)
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                result = work(connection)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
            return result

    def dispose(self) -> None:
        """Close every connection (before the end)."""
        if self._aside is not None:
            self._aside.join()
            self._aside.kill()
            self._aside = None
        if self._aside_engine is not None:
            self._aside_engine.dispose()
        self.engine.dispose()


class _Write:
    """One function waiting for its transaction."""

    __slots__ = ("error", "finished", "order", "result", "wake", "work")

    def __init__(self, work: Callable[[Connection], Any], order: int) -> None:
        self.work = work
        self.order = order
        self.wake = threading.Event()
        self.finished = False
        self.result: Any = None
        self.error: Exception | None = None

    def run(self, connection: Connection) -> None:
        self.result = self.error = None
        try:
            self.result = self.work(connection)
        except ChatError as refusal:
            self.error = refusal

    def fail(self, error: Exception) -> None:
        self.result, self.error, self.finished = None, error, True

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout=5000")  # turning WAL on, or mending it after a kill, takes a lock
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA busy_timeout={timeout}")


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    """Our statements take milliseconds; starting workers for one of them, or a compiler, takes fifty."""
    connection.execute("SET max_parallel_workers_per_gather = 0")
    connection.execute("SET jit = off")
    connection.commit()


def _connect_patiently(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
    """Connect, also to a server that is just being restarted or wakes up: both take seconds, and answers wait."""
    began = time.monotonic()
    while True:
        try:
            return dialect.connect(*arguments, **options)
        except dialect.loaded_dbapi.Error as fault:
            said = str(fault)
            patience = RESUME_SECONDS if _RESUMING in said else AWAY_SECONDS if _COMING.search(said) else 0
            if time.monotonic() - began >= patience:
                raise
        time.sleep(random.uniform(0.1, 0.3))


def _notice_a_server_that_leaves(context: Any) -> None:
    """These connections are lost, though their drivers take the error for one of the statement's."""
    fault = context.original_exception
    code = fault.args[0] if fault.args else None
    if code in _GONE_MYSQL or _RESUMING in str(fault):
        context.is_disconnect = True


_RESUMING = "is resuming"  # CynosDB, the serverless MySQL of WeChat cloud hosting: error 9449
_COMING = re.compile(
    r"refused|starting up|shutting down|not yet accepting|closed the connection unexpectedly|Lost connection", re.I
)
_GONE_MYSQL = {1053, 1927, 4031}  # shutting down; connection killed; closed after long silence


def away(fault: DBAPIError) -> bool:
    """Whether it is the database that fails, and not a statement of ours: it may be well again in a moment."""
    return fault.connection_invalidated or fault.statement is None or bool(_BUSY.search(str(fault.orig)))


def unwritable(fault: DBAPIError) -> bool:
    """Whether the database answers and can write nothing, until somebody makes room or names another one."""
    return bool(_UNWRITABLE.search(str(fault.orig)))


_BUSY = re.compile("is locked|too many connections", re.I)
_UNWRITABLE = re.compile("(is|disk) full|readonly database|read-only|disk I/O|No space left", re.I)


def begin_immediate(connection: Connection, seconds: float = LOCK_SECONDS) -> None:
    """Take SQLite's write lock: a deferred BEGIN would fail later, in the midst ("snapshot busy")."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except OperationalError as exc:
            if not _locked(exc) or time.monotonic() > give_up:
                raise
        connection.rollback()
        time.sleep(random.uniform(0.002, 0.015))


def _locked(exc: DBAPIError) -> bool:
    return "database is locked" in str(exc.orig)


_RETRY_SQLSTATES = {"40001", "40P01"}  # PostgreSQL: serialization failure, deadlock
_RETRY_MYSQL = {1205, 1213}  # lock wait timeout, deadlock


def _worth_a_retry(exc: BaseException) -> bool:
    """The transaction left no trace and would pass if it ran again."""
    if not isinstance(exc, DBAPIError):
        return False
    if exc.connection_invalidated:
        return True
    code = exc.orig.args[0] if exc.orig is not None and exc.orig.args else None
    return getattr(exc.orig, "sqlstate", None) in _RETRY_SQLSTATES or code in _RETRY_MYSQL
