"""What the tests share: databases of each kind, a scripted model, api processes and the desk simulator."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from core.database import Database
from core.settings import SIMULATOR_APPID, SIMULATOR_SECRET
from tests.fakes import FakeCogito
from tests.house import House, housing
from tests.loopback import serving
from tests.server import Api
from tests.stores import Pristine
from wechat.simulator.app import create_simulator

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


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Pristine]]:
    """A migrated database of each kind, made at the first use."""
    known: dict[str, Pristine] = {}
    with contextlib.ExitStack() as stack:

        def of(kind: str) -> Pristine:
            if kind not in known:
                url = stack.enter_context(fresh_database(kind, tmp_path_factory.mktemp("pristine")))
                known[kind] = Pristine(url)
            return known[kind]

        yield of


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def any_database(
    request: pytest.FixtureRequest, tmp_path: Path, pristine: Callable[[str], Pristine]
) -> Iterator[Database]:
    """A database with our tables, as after the first start: the test runs once on each kind."""
    with pristine(request.param).opened(tmp_path) as database:
        yield database


@pytest.fixture
def database(tmp_path: Path, pristine: Callable[[str], Pristine]) -> Iterator[Database]:
    """A SQLite database with our tables."""
    with pristine("sqlite").opened(tmp_path) as database:
        yield database


@pytest.fixture
def cogito() -> Iterator[FakeCogito]:
    with FakeCogito() as fake:
        yield fake


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The URL of a desk simulator that plays WeChat for every test."""
    with serving(create_simulator({SIMULATOR_APPID: SIMULATOR_SECRET})) as url:
        yield url


@pytest.fixture
def start_api(tmp_path: Path, cogito: FakeCogito, simulator: str) -> Iterator[Callable[..., Api]]:
    """Start api processes that share one database; `wait=False` returns before it serves."""
    started: list[Api] = []

    def start(*, wait: bool = True, **settings: Any) -> Api:
        settings.setdefault("database_url", f"sqlite:///{tmp_path / 'chat.db'}")
        settings.setdefault("model_url", cogito.url)
        started.append(Api(tmp_path, simulator=simulator, **settings))
        return started[-1].wait_ready() if wait else started[-1]

    yield start
    cogito.release()
    for one in started:
        if one.popen.poll() is None:
            one.stop()


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    return start_api()


@pytest.fixture(scope="session")
def _house(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    with housing(tmp_path_factory.mktemp("house"), simulator, {}, {}) as house:
        yield house


@pytest.fixture
def house(_house: House) -> Iterator[House]:
    """Two api processes with one database, shared by many tests: a test logs in users of its own."""
    yield _house
    _house.settle()
