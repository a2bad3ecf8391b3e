"""Databases that go away and come back: a restart, a serverless one that sleeps."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import OperationalError

import core.database
from core.database import Database
from core.settings import Settings
from core.store import content
from tests.databases import fresh_database
from tests.fakes import FakeCogito
from tests.relay import Relay
from tests.server import Api, wait_until
from tests.stores import Pristine

PORTS = {"postgresql": 5432, "mysql": 3306}


@pytest.fixture(params=["postgresql", "mysql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def relayed(kind: str, tmp_path: Path, pristine: Callable[[str], Pristine]) -> Iterator[tuple[Database, Relay]]:
    """A database of ours behind a relay."""
    with (
        pristine(kind).opened(tmp_path) as behind,
        Relay(behind.url.host or "127.0.0.1", behind.url.port or PORTS[kind]) as relay,
    ):
        database = Database(through(behind.url.render_as_string(hide_password=False), relay))
        yield database, relay
        database.dispose()


def through(url: str, relay: Relay) -> str:
    return make_url(url).set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)


def set_name(connection: Connection, value: str) -> None:
    content.set_option(connection, "name", value)


def name(database: Database) -> object:
    return database.read(content.options)["name"]


def back_in(relay: Relay, seconds: float) -> None:
    relay.shut()
    threading.Timer(seconds, relay.open).start()


def test_reads_and_writes_survive_a_restart(relayed: tuple[Database, Relay]) -> None:
    database, relay = relayed
    database.write(set_name, "before")
    back_in(relay, 0.6)
    assert name(database) == "before"
    back_in(relay, 0.6)
    database.write(set_name, "after")
    assert name(database) == "after"


def test_a_large_write_survives_a_restart(relayed: tuple[Database, Relay]) -> None:
    database, relay = relayed
    database.write_aside(lambda connection: set_name(connection, "before"))
    back_in(relay, 0.3)
    database.write_aside(lambda connection: set_name(connection, "after"))
    assert name(database) == "after"


def test_a_server_that_stays_away_is_not_waited_for_any_longer(
    relayed: tuple[Database, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, relay = relayed
    monkeypatch.setattr(core.database, "AWAY_SECONDS", 0.5)
    relay.shut()
    began = time.monotonic()
    with pytest.raises(OperationalError):
        database.read(content.options)
    assert time.monotonic() - began < 3


@pytest.fixture
def sleepy(tmp_path: Path, pristine: Callable[[str], Pristine]) -> Iterator[tuple[Database, Relay]]:
    """A serverless MySQL."""
    with pristine("mysql").opened(tmp_path) as behind, Relay("127.0.0.1", behind.url.port or 3306) as relay:
        database = Database(through(behind.url.render_as_string(hide_password=False), relay))
        yield database, relay
        database.dispose()


def test_a_sleeping_serverless_database_is_waited_for(sleepy: tuple[Database, Relay]) -> None:
    database, relay = sleepy
    relay.resuming = 4
    assert "welcome" in database.read(content.options)
    assert relay.accepted == 5
    relay.cut()
    relay.resuming = 2
    database.write(set_name, "awake")
    assert name(database) == "awake"


def test_one_that_falls_asleep_under_an_open_connection_too(sleepy: tuple[Database, Relay]) -> None:
    database, relay = sleepy
    database.write(set_name, "before")
    relay.interrupt, relay.resuming = 1, 2
    assert name(database) == "before"
    relay.interrupt, relay.resuming = 1, 2
    database.write(set_name, "after")
    assert name(database) == "after"
    assert relay.interrupt == 0


def test_a_wrong_password_is_not_tried_again(relayed: tuple[Database, Relay]) -> None:
    database, _ = relayed
    url = database.url.set(username="nobody_of_that_name", password="wrong")
    stranger = Database(url.render_as_string(hide_password=False))
    began = time.monotonic()
    with pytest.raises(OperationalError):
        stranger.read(content.options)
    assert time.monotonic() - began < 2
    stranger.dispose()


def test_what_a_statement_carried_is_not_in_its_error(relayed: tuple[Database, Relay]) -> None:
    database, _ = relayed
    with pytest.raises(Exception) as caught:
        database.read(lambda c: c.execute(text("SELECT :word FROM no_such_table"), {"word": "a private word"}))
    assert "private" not in str(caught.value)


def test_cloud_hosting_names_its_mysql_in_variables_of_its_own(tmp_path: Path) -> None:
    with fresh_database("mysql", tmp_path) as url:
        target = make_url(url)
        settings = Settings(
            _env_file=None,
            mysql_address=f"{target.host}:{target.port or 3306}",
            mysql_username=target.username or "",
            mysql_password=target.password or "",
            mysql_database=target.database or "",
        )
        database = Database(settings.database)
        emoji = database.read(lambda c: c.execute(text("SELECT HEX('😀'), @@character_set_connection")).one())
        assert tuple(emoji) == ("F09F9880", "utf8mb4")
        database.dispose()


def test_an_answer_outlives_a_restart_of_its_database(
    tmp_path: Path, start_api: Callable[..., Api], cogito: FakeCogito
) -> None:
    """Asked before, written while the database is away, stored after."""
    with fresh_database("postgresql", tmp_path) as url:
        target = make_url(url)
        with Relay(target.host or "127.0.0.1", target.port or PORTS["postgresql"]) as relay:
            api = start_api(database_url=through(url, relay))
            user = api.login()
            cogito.when("重启", pieces=["写到一半，", "写完了。"], hold_at=1)
            turn = user.ask("重启", wait=0).json()
            cogito.wait_for(lambda: cogito.active == 1)
            relay.shut()
            cogito.release()
            cogito.wait_for(lambda: cogito.active == 0)
            time.sleep(0.5)
            relay.open()
            assert user.wait_final(turn["turn_id"])["reply"] == "写到一半，写完了。"
            assert user.ask("还在吗").json()["reply"] == "回答：还在吗"
            wait_until(lambda: user.call("GET", "/ready").status_code == 200)
            api.stop()
