"""Bring a database up to date, once, however many processes start at the same time."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from core.database import Database, begin_immediate

WAIT_SECONDS = 60  # for another process that is migrating
_LOCK = 7_203_114  # any number that only we use


def upgrade(database: Database) -> None:
    """Create or migrate the tables; returns at once when there is nothing to do."""
    if current(database) == head():
        return
    with database.engine.connect() as connection, _exclusive(connection):
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def current(database: Database) -> str | None:
    """The revision the database is at; None for an empty one."""
    return database.read(revision)


def revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The revision this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def known() -> set[str]:
    """Every revision there has been."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@contextlib.contextmanager
def _exclusive(connection: Connection) -> Iterator[None]:
    """Let one process at a time migrate; SQLite's lock is the transaction itself."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        begin_immediate(connection, WAIT_SECONDS)
        yield
        return
    take, leave = {
        "postgresql": ("SELECT pg_try_advisory_lock(:lock)", "SELECT pg_advisory_unlock(:lock)"),
    }.get(dialect, ("SELECT GET_LOCK(:lock, 0)", "SELECT RELEASE_LOCK(:lock)"))
    key: object = _LOCK if dialect == "postgresql" else f"chat-migration-{_LOCK}"
    give_up = time.monotonic() + WAIT_SECONDS
    while not connection.execute(text(take), {"lock": key}).scalar():
        if time.monotonic() > give_up:
            raise TimeoutError("another process has been migrating the database for a minute")
        time.sleep(0.2)
    connection.commit()
    try:
        yield
    finally:
        connection.execute(text(leave), {"lock": key})
        connection.commit()
