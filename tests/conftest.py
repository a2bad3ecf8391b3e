"""What the tests share: databases of each kind, a scripted model, api processes and the desk simulator."""

import atexit
import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from core.settings import SIMULATOR_APPID, SIMULATOR_SECRET
from tests.databases import KIND, fresh_database
from tests.databases import SERVERS as SERVERS
from tests.databases import missing as missing
from tests.fakes import FakeCogito
from tests.house import House, housing
from tests.loopback import serving
from tests.server import Api
from tests.stores import Pristine
from wechat.simulator.app import create_simulator

MAKERS = {"housing", "street", "KIND"}  # what a module imports that makes its own databases of this kind


def pytest_configure() -> None:
    """Each worker loads every test: it need not compile them anew each time, nor search them for garbage."""
    sys.dont_write_bytecode = False
    gc.set_threshold(20_000, 20, 50)
    atexit.register(gc.freeze)


def pytest_collection_finish() -> None:
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With TEST_DATABASE set, only what keeps something in the database it names: the rest would run as before."""
    if KIND != "sqlite":
        chosen = [item for item in items if _lives_in_kind(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen


def _lives_in_kind(item: pytest.Item) -> bool:
    """Whether the test has a database made by a fixture from here, or it or its package makes others of this kind."""
    assert isinstance(item, pytest.Function)
    package = item.module.__package__
    if package == "tests.miniprogram" or (package == "tests.console" and KIND == "mysql"):
        return False  # what a phone shows is the same; the console runs once more on PostgreSQL
    makers = [item.module, *([] if package == __package__ else [sys.modules.get(f"{package}.conftest", item.module)])]
    return not {"database_url", "_house"}.isdisjoint(item.fixturenames) or any(
        not MAKERS.isdisjoint(vars(module)) for module in makers
    )


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
def database_url(tmp_path: Path) -> Iterator[str]:
    """An empty database for the api processes of one test, of the kind that TEST_DATABASE names."""
    with fresh_database(KIND, tmp_path) as url:
        yield url


@pytest.fixture
def start_api(tmp_path: Path, cogito: FakeCogito, simulator: str, database_url: str) -> Iterator[Callable[..., Api]]:
    """Start api processes that share one database; `wait=False` returns before it serves."""
    started: list[Api] = []

    def start(*, wait: bool = True, **settings: Any) -> Api:
        settings.setdefault("database_url", database_url)
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
    other = {"cors_origins": "https://ours.example, https://page.example"}
    with housing(tmp_path_factory.mktemp("house"), simulator, {}, other) as house:
        yield house


@pytest.fixture
def house(_house: House) -> Iterator[House]:
    """Two api processes with one database, shared by many tests: a test logs in users of its own."""
    yield _house
    _house.settle()
