"""For tests of the store: databases that are migrated once and emptied between tests, and what is put into them."""

import itertools
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select

from core import migrate
from core.database import Database
from core.moderation import Word
from core.store import content, turns, users, writing
from core.store.content import Entry, WordQuery
from core.store.turns import Options, Question
from core.store.users import Quota
from core.store.writing import Outcome
from core.tables import Base, WordRow, new_id

UNLIMITED = Quota(0, 0, "Asia/Shanghai")
IDS = itertools.count(new_id())  # of turns: in the order of asking, even within a millisecond
TABLES = Base.metadata.sorted_tables


class Pristine:
    """A migrated database of one kind; `opened` gives it out as it was on its first day."""

    def __init__(self, url: str) -> None:
        self.url = url
        database = Database(url)
        migrate.upgrade(database)
        with database.engine.connect() as connection:
            self._seeds = {table: connection.execute(select(table)).mappings().all() for table in TABLES}
        database.dispose()  # SQLite: nothing is left beside the file itself

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Database]:
        database = Database(self.url)
        if database.dialect == "sqlite":
            copy = folder / "chat.db"
            shutil.copy(str(database.url.database), copy)
            database = Database(f"sqlite:///{copy}")
        else:
            self._empty(database)
        try:
            yield database
        finally:
            database.dispose()

    def _empty(self, database: Database) -> None:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM turn_grams")  # no table of SQLAlchemy's: see core/store/grams.py
            for table in reversed(TABLES):
                connection.execute(delete(table))
            for table, rows in self._seeds.items():
                if rows:
                    connection.execute(insert(table), [dict(row) for row in rows])


@contextmanager
def second_process(database: Database) -> Iterator[Database]:
    """The same database with connections and a queue of its own, as another process has them."""
    other = Database(database.url.render_as_string(hide_password=False))
    try:
        yield other
    finally:
        other.dispose()


@dataclass(frozen=True, slots=True)
class QuotaAt(Quota):
    """A quota as a machine counts it whose clock says this day and minute."""

    day: int = 738_000
    minute: int = 29_000_000

    def windows(self) -> tuple[int, int]:
        return self.day, self.minute


def quota_at(*, per_minute: int = 0, per_day: int = 0, day: int = 738_000, minute: int = 29_000_000) -> QuotaAt:
    return QuotaAt(per_minute, per_day, "Asia/Shanghai", day, minute)


def make_user(database: Database, openid: str | None = None, **more: Any) -> int:
    return database.write(users.sign_in, "wxapp", openid or uuid4().hex, **more)


def ask(
    database: Database,
    user_id: int,
    text: str = "你好",
    *,
    quota: Quota = UNLIMITED,
    writer: int | None = None,
    conversation: int | None = None,
    **more: Any,
) -> Any:
    """Accept a question; its turn. With `new_conversation=True` it begins a conversation."""
    if more.get("new_conversation"):
        conversation = new_id()
    question = Question(next(IDS), user_id, "miniprogram", text, Options(500), conversation, **more)
    return database.write(turns.accept, question, quota, writer, order=user_id)


def row(database: Database, turn: Any) -> Any:
    """A turn as the database has it now."""
    return database.read(turns.get, turn.id)


def end(database: Database, turn: Any, answer: str = "好的。", status: turns.Status = "done", **more: Any) -> bool:
    """Give a turn that somebody writes its final state."""
    outcome = Outcome(status, answer, "", **more)
    return database.write(writing.finish, turn.id, turn.writer, turn.attempt, outcome)


def in_threads(*works: Callable[[], Any]) -> list[Any]:
    """What each returns or raises, all begun at the same moment."""
    begin = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(number: int, work: Callable[[], Any]) -> None:
        begin.wait()
        try:
            results[number] = work()
        except Exception as fault:
            results[number] = fault

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "it hangs"
    return results


def set_words(connection: Connection, words: Iterable[Word], category: str = "", author: str = "") -> int:
    """Enter words; returns how many are new."""
    entries = [Entry(word.text, word.action, category or None) for word in words]
    return content.import_words(connection, entries, author).new


def remove_words(connection: Connection, *texts: str) -> int:
    """Returns how many were there."""
    ids = list(connection.execute(select(WordRow.id).where(WordRow.text.in_(texts))).scalars())
    return content.delete_words(connection, WordQuery(ids=ids))
