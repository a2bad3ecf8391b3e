"""Which databases the tests run on.

`TEST_DATABASE=postgresql` (or `mysql`, or `sqlite`, the default) is where the api processes of the tests keep
everything; the tests of the store run on all three in any case.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

KIND = os.environ.get("TEST_DATABASE", "sqlite")
SERVERS = {
    "postgresql": os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg://root@127.0.0.1/postgres"),
    "mysql": os.environ.get("TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1/mysql"),
}


def missing(what: str) -> None:
    """Skip for the reason given; in CI, where everything is to be there, fail."""
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(f"REQUIRE_ALL is set, but {what}")
    pytest.skip(what)


@contextlib.contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database that nobody else uses."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'chat.db'}"
        return
    name = f"chat_test_{uuid.uuid4().hex[:12]}"
    server = create_engine(SERVERS[kind], isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except Exception as fault:
        server.dispose()
        missing(f"no {kind} server answers at {make_url(SERVERS[kind]).render_as_string()} ({type(fault).__name__})")
    try:
        yield make_url(SERVERS[kind]).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            force = " WITH (FORCE)" if kind == "postgresql" else ""
            connection.execute(text(f"DROP DATABASE {name}{force}"))
        server.dispose()
