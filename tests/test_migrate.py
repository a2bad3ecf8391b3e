import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect

from core import migrate
from core.database import Database
from core.store import content, users
from core.tables import Base, IdentityRow, UserRow
from tests.conftest import fresh_database
from tests.server import ROOT
from tests.stores import Pristine, in_threads

HEAD = ScriptDirectory.from_config(migrate._config()).get_current_head()

UPGRADER = """
import sys
from core import migrate
from core.database import Database
print("ready", flush=True)
for url in map(str.strip, sys.stdin):
    database = Database(url)
    migrate.upgrade(database)
    print(migrate.current(database), flush=True)
    database.dispose()
"""


@pytest.fixture(scope="module")
def upgraders() -> Iterator[list["subprocess.Popen[str]"]]:
    """Four processes, each of which upgrades any database it is told the URL of."""
    command = [sys.executable, "-c", UPGRADER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(4)]
    for one in started:
        assert tell(one) == "ready"
    yield started
    for one in started:
        assert one.stdin is not None and one.stdout is not None
        one.stdin.close()
        assert one.wait(10) == 0
        one.stdout.close()


def tell(process: "subprocess.Popen[str]", line: str = "") -> str:
    """Its answer to a line."""
    assert process.stdin is not None and process.stdout is not None
    if line:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_four_processes_that_start_at_once_on_an_empty_database_make_it_once(
    kind: str, tmp_path: Path, upgraders: list["subprocess.Popen[str]"]
) -> None:
    with fresh_database(kind, tmp_path) as url:
        results = in_threads(*[lambda one=one: tell(one, url) for one in upgraders])
        assert results == [HEAD] * 4
        database = Database(url)
        assert len(database.read(content.prompt_versions)) == 1  # seeded once
        migrate.upgrade(database)  # and again, when there is nothing to do
        assert migrate.current(database) == HEAD
        assert len(database.read(content.prompt_versions)) == 1
        database.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_two_processes_that_start_at_once_on_an_old_database_bring_it_up_to_date_once(
    kind: str, tmp_path: Path, upgraders: list["subprocess.Popen[str]"]
) -> None:
    with fresh_database(kind, tmp_path) as url:
        database = Database(url)
        with database.engine.connect() as connection:
            config = migrate._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            connection.execute(insert(UserRow).values(id=1, created_at=1))
            connection.execute(insert(IdentityRow).values(appid="wx1", openid="o-of-then", user_id=1))
            connection.commit()
        assert in_threads(*[lambda one=one: tell(one, url) for one in upgraders[:2]]) == [HEAD] * 2
        assert database.read(users.of_identity, "wx1", "o-of-then") == 1
        assert len(database.read(content.prompt_versions)) == 1
        database.dispose()


def test_an_empty_database_is_at_no_revision(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new' / 'chat.db'}")  # nor need the folder exist
    assert migrate.current(database) is None
    migrate.upgrade(database)
    assert migrate.current(database) == HEAD
    database.dispose()


def is_ours(name: str | None, *_: object) -> bool:
    """The index of texts is another thing in each database, and none of SQLAlchemy's: see core/store/grams.py."""
    return not (name or "").startswith("turn_grams")


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(any_database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True, "include_name": is_ours}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, Base.metadata))

    assert any_database.read(differences) == []
    names = any_database.read(lambda c: set(inspect(c).get_table_names()))
    assert {name for name in names if is_ours(name)} == {*Base.metadata.tables, "alembic_version"}
    assert "turn_grams" in names


def test_a_new_server_has_prompts_words_and_something_to_say(any_database: Database) -> None:
    prompts = any_database.read(content.live_prompts)
    assert set(prompts) == {"miniprogram", "official"}
    assert all("AI 助手" in prompt.text and prompt.facts == "" for prompt in prompts.values())
    words = any_database.read(content.words)
    assert {(word.text, word.action) for word in words} == {("暴力", "mask"), ("仇恨", "mask")}
    options = any_database.read(content.options)
    assert options["welcome"] and len(options["suggestions"]) == 3
    assert any_database.read(content.revisions) == {"words": 1, "prompts": 1, "replies": 1, "options": 1}


def test_mysql_tables_hold_every_character_and_tell_them_apart(
    pristine: Callable[[str], Pristine], tmp_path: Path
) -> None:
    with pristine("mysql").opened(tmp_path) as database:
        query = (
            "SELECT DISTINCT collation_name FROM information_schema.columns"
            " WHERE table_schema = database() AND collation_name IS NOT NULL AND table_name <> 'alembic_version'"
        )
        assert database.read(lambda c: c.exec_driver_sql(query).scalars().all()) == ["utf8mb4_bin"]


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_migration_that_waits_too_long_for_another_says_so(
    kind: str, pristine: Callable[[str], Pristine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "WAIT_SECONDS", 0)
    with (
        pristine(kind).opened(tmp_path) as database,
        database.engine.connect() as one,
        database.engine.connect() as other,
    ):
        with (
            migrate._exclusive(one),
            pytest.raises(TimeoutError, match="another process"),
            migrate._exclusive(other),
        ):
            pytest.fail("two processes migrate at once")
        with migrate._exclusive(other):  # the first is through
            pass
