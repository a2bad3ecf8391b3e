"""The commands of an operator: `staff add`, `db backup`."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import argon2
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import make_url

import app
import core.database
from core import backup as backups
from core import migrate
from core.backup import BackupError, backup
from core.database import Database
from core.errors import Unauthorized
from core.store import content
from core.store import staff as accounts
from tests.databases import fresh_database, missing
from tests.logged import logged_elsewhere


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own; a command sets the log up for its process, which here is ours."""
    monkeypatch.chdir(tmp_path)
    with logged_elsewhere():
        yield


def run(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app.main, arguments, input=typed)


def account(url: str, name: str) -> Any:
    database = Database(url)
    try:
        return database.read(accounts.get, name)
    finally:
        database.dispose()


def test_a_member_of_staff_gets_a_password_that_is_shown_once(tmp_path: Path) -> None:
    done = run("staff", "add", "小王", "--role", "editor")
    assert done.exit_code == 0, done.stderr
    password = done.stdout.splitlines()[-1]
    row = account(f"sqlite:///{tmp_path}/data/chat.db", "小王")
    assert row.role == "editor" and row.password_hash.startswith("$argon2id$")
    assert argon2.PasswordHasher().verify(row.password_hash, password)
    assert len(password) >= 16

    again = run("staff", "add", "小王")
    assert again.exit_code == 1 and "已经有叫 小王 的账号" in again.stderr
    assert account(f"sqlite:///{tmp_path}/data/chat.db", "小王") == row
    odd = run("staff", "add", "小王", "--role", "owner")
    assert odd.exit_code == 2


def test_a_member_of_staff_may_type_a_password(tmp_path: Path) -> None:
    short = run("staff", "add", "admin", "--role", "admin", "--ask", typed="abc\nabc\n")
    assert short.exit_code == 2 and "至少要 10 个字符" in short.stderr
    done = run("staff", "add", "admin", "--role", "admin", "--ask", typed="correct horse\ncorrect horse\n")
    assert done.exit_code == 0, done.stderr
    assert "correct horse" not in done.stdout + done.stderr
    row = account(f"sqlite:///{tmp_path}/data/chat.db", "admin")
    assert argon2.PasswordHasher().verify(row.password_hash, "correct horse")


def test_a_forgotten_password_is_replaced_and_old_sessions_end(tmp_path: Path) -> None:
    run("staff", "add", "小王", "--role", "editor")
    url = f"sqlite:///{tmp_path}/data/chat.db"
    before = account(url, "小王")
    database = Database(url)
    token = database.write(accounts.open_session, before.id, 3600)
    done = run("staff", "password", "小王")
    assert done.exit_code == 0, done.stderr
    after = account(url, "小王")
    assert argon2.PasswordHasher().verify(after.password_hash, done.stdout.splitlines()[-1])
    assert after.role == "editor"
    with pytest.raises(Unauthorized):
        database.read(accounts.by_session, token)
    assert database.read(accounts.operations, 1)[0].action == "重设密码"
    database.dispose()
    unknown = run("staff", "password", "小张")
    assert unknown.exit_code == 1 and "没有叫 小张 的账号。现有账号：小王。" in unknown.stderr


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["sevre"], "没有命令 sevre。用法见：python app.py --help"),
        (["db", "backup"], "缺少 FILE。用法见：python app.py db backup --help"),
        (["db", "upgrade", "--now"], "没有选项 --now。"),
        (["db", "upgrade", "now"], "命令写得不对。"),
        (["staff", "add", "小王", "--role", "owner"], "--role 的值不对，应为 viewer、editor、admin 之一。"),
    ],
)
def test_a_command_that_is_typed_wrongly_is_told_in_chinese(command: list[str], told: str) -> None:
    done = run(*command)
    assert done.exit_code == 2 and told in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("db", "upgrade"), ("menu", "pull"), ("replies", "import")])
def test_a_database_that_is_away_is_said_in_a_line(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://me:pass-word@127.0.0.1:9/chat")
    monkeypatch.setattr(core.database, "AWAY_SECONDS", 0.1)
    done = run(*command)
    assert done.exit_code == 1
    told = str(done.exception)  # of a SystemExit: what Python itself writes to stderr
    assert isinstance(done.exception, SystemExit) and told.startswith("数据库：连不上 127.0.0.1:9")
    assert "pass-word" not in told and "\n" not in told


def test_a_backup_made_while_others_write_is_whole(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'chat.db'}")
    migrate.upgrade(database)
    database.write(content.set_option, "filler", "字" * 3_000_000)
    ended = threading.Event()

    def keep_writing() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            database.write(content.set_option, f"n{number}", number)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        backup(database.url, tmp_path / "copy.db")
    finally:
        ended.set()
        writer.join()
        database.dispose()
    assert not list(tmp_path.glob("copy.db?*"))  # one file, nothing beside it
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0
    copy = Database(f"sqlite:///{tmp_path / 'copy.db'}")
    assert migrate.current(copy) == migrate.head()
    options = copy.read(content.options)
    numbers = sorted(value for name, value in options.items() if name.startswith("n") and name[1:].isdigit())
    assert numbers == list(range(1, len(numbers) + 1))  # as it was at one moment
    copy.dispose()


def test_a_backup_never_overwrites_and_says_what_is_wrong(tmp_path: Path) -> None:
    done = run("db", "upgrade")
    assert done.exit_code == 0, done.stderr
    done = run("db", "backup", "copy.db")
    assert done.exit_code == 0 and "已备份到 copy.db" in done.stdout
    done = run("db", "backup", "copy.db")
    assert done.exit_code == 1 and "已经存在" in done.stderr
    done = run("db", "backup", "nowhere/copy.db")
    assert done.exit_code == 1 and "不存在" in done.stderr
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone()[0] == migrate.head()


@pytest.mark.parametrize(("kind", "sign"), [("postgresql", b"PGDMP"), ("mysql", b"utf8mb4")])
def test_a_server_is_backed_up_by_its_own_tool(kind: str, sign: bytes, tmp_path: Path) -> None:
    tools = {"postgresql": ["pg_dump"], "mysql": ["mariadb-dump", "mysqldump"]}[kind]
    if not any(map(shutil.which, tools)):
        missing(f"{tools[-1]} is not installed")
    with fresh_database(kind, tmp_path) as url:
        database = Database(url)
        database.write(lambda c: c.exec_driver_sql("CREATE TABLE words (text VARCHAR(9))") and None)
        database.dispose()
        backup(make_url(url), tmp_path / "copy")
        assert sign in (tmp_path / "copy").read_bytes()
        with pytest.raises(BackupError, match="失败了"):
            backup(make_url(url).set(database="no_such_database"), tmp_path / "other")
        assert not list(tmp_path.glob("other*"))


def test_without_the_tool_the_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups.shutil, "which", lambda tool: None)
    for url, tool in (
        ("postgresql+psycopg://me:pass-word@db/chat", "pg_dump"),
        ("mysql+pymysql://me:pass-word@db/chat", "mysqldump"),
    ):
        with pytest.raises(BackupError, match=f"没有 {tool}") as caught:
            backup(make_url(url), tmp_path / "copy")
        assert "--host=db" in str(caught.value) and "pass-word" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
