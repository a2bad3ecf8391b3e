"""Commands of app.py that need nothing but core.

python app.py model [download]   the embedded model; the real one, from ModelScope or Hugging Face
python app.py db upgrade         bring the database up to date
python app.py db backup FILE     a copy of it, while everything runs
python app.py staff add NAME     an account for the console
python app.py staff password NAME   a new password for one
"""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from core.roles import ROLES
from core.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.database import Database

DATABASE_SECONDS = 30  # for which a database that refuses connections is waited for at the start


@click.group(invoke_without_command=True)
@click.pass_context
def model(context: click.Context) -> None:
    """只运行内置模型；model download 下载 Cogito。"""
    if context.invoked_subcommand is not None:
        return
    from core.embedded import find_model, serve_engine

    settings: Settings = context.obj
    try:
        path = find_model(settings.model_path, settings.data_dir)
    except FileNotFoundError as fault:
        click.echo(str(fault), err=True)
        sys.exit(2)
    code = serve_engine(
        path,
        settings.data_dir / "model.json",
        context_tokens=settings.model_context_tokens,
        slots=settings.model_max_concurrent or None,
        watch_stdin=context.meta.get("child", False),
    )
    sys.exit(code)


@model.command()
@click.option("--repo", help="别的模型仓库，如 bartowski/…-GGUF。")
@click.option("--file", help="仓库里的 GGUF 文件名。")
@click.option("--sha256", help="文件应有的 SHA-256；不写就用模型站给出的。")
@click.pass_obj
def download(settings: Settings, repo: str | None, file: str | None, sha256: str | None) -> None:
    """下载 Cogito 模型（约 2.2 GB）：先 ModelScope，再 Hugging Face；断了再运行会接着下。"""
    from core import download as hub

    wanted = (repo or hub.REPOSITORY, file or hub.FILE)
    sources = [hub.modelscope(settings.modelscope_endpoint, *wanted), hub.hugging_face(settings.hf_endpoint, *wanted)]
    try:
        path = hub.download(sources, settings.data_dir / "models", sha256=sha256, bar=hub.Bar())
    except hub.DownloadError as fault:
        click.echo(str(fault), err=True)
        sys.stderr.flush()
        os._exit(1)  # a resolver that hangs would hold up the end
    except KeyboardInterrupt:
        click.echo("\n已停下。再运行一次会接着下载。", err=True)
        os._exit(130)
    click.echo(f"模型在 {path}，重启服务后生效。使用时请遵守它的许可（Llama 3.2 Community License）。")


@click.group()
def db() -> None:
    """数据库。"""


@db.command()
@click.pass_obj
def upgrade(settings: Settings) -> None:
    """把数据库升级到最新结构。"""
    from core import migrate
    from core.database import Database
    from core.doctor import said_in_a_line

    database = Database(settings.database)
    with said_in_a_line(database.engine):
        before = migrate.current(database)
        migrate.upgrade(database)
        after = migrate.current(database)
    click.echo(f"数据库已是最新（{after}）。" if before == after else f"数据库已升级到 {after}。")


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def backup(settings: Settings, file: Path) -> None:
    """把整个数据库备份到一个文件，不必停下服务。"""
    from sqlalchemy import make_url

    from core.backup import BackupError, backup

    try:
        backup(make_url(settings.database), file)
    except BackupError as fault:
        click.echo(str(fault), err=True)
        sys.exit(1)
    click.echo(f"已备份到 {file}（{file.stat().st_size / 1e6:.1f} MB）。里面有用户的对话，请妥善保管。")


ASK = "自己输入密码；不写就生成一个，只显示这一次。"


@click.group()
def staff() -> None:
    """控制台的账号。"""


def _add(connection: "Connection", name: str, password_hash: str, role: str) -> None:
    from core.store import staff as accounts

    accounts.add(connection, name, password_hash, role)
    accounts.log(connection, "命令行", "", "加账号", name, ROLES[role])


@staff.command()
@click.argument("name")
@click.option("--role", type=click.Choice(list(ROLES)), default="viewer", show_default=True)
@click.option("--ask", is_flag=True, help=ASK)
@click.pass_obj
def add(settings: Settings, name: str, role: str, ask: bool) -> None:
    """添加一个控制台账号。"""
    from core import passwords
    from core.errors import Conflict
    from core.store import staff as accounts

    if not accounts.is_name(name):
        _refuse("名字为 1 到 64 个字符，首尾没有空格。")
    password = _new_password(ask)
    database = migrated(settings)
    try:
        database.write(_add, name, passwords.hashed(password), role)
    except Conflict:
        click.echo(f"已经有叫 {name} 的账号；要换密码，用 python app.py staff password {name}。", err=True)
        sys.exit(1)
    finally:
        database.dispose()
    click.echo(f"已添加账号 {name}（{ROLES[role]}）。" + _shown_once(password, ask))


@staff.command()
@click.argument("name")
@click.option("--ask", is_flag=True, help=ASK)
@click.pass_obj
def password(settings: Settings, name: str, ask: bool) -> None:
    """给忘了密码的账号一个新密码。"""
    from core import passwords
    from core.errors import NotFound

    password = _new_password(ask)
    database = migrated(settings)
    try:
        database.write(_set_password, name, passwords.hashed(password))
    except NotFound:
        known = "、".join(database.read(_names)) or "一个也没有"
        click.echo(f"没有叫 {name} 的账号。现有账号：{known}。", err=True)
        sys.exit(1)
    finally:
        database.dispose()
    click.echo(f"账号 {name} 有了新密码，已登录的会退出。" + _shown_once(password, ask))


def _names(connection: "Connection") -> list[str]:
    from core.store import staff as accounts

    return [row.name for row in accounts.everyone(connection)]


def _set_password(connection: "Connection", name: str, password_hash: str) -> None:
    from core.errors import NotFound
    from core.store import staff as accounts

    if (row := accounts.get(connection, name)) is None:
        raise NotFound("no such account")
    accounts.set_password(connection, row.id, password_hash)
    accounts.log(connection, "命令行", "", "重设密码", name, "")


def _new_password(ask: bool) -> str:
    """A random one, or one that is typed."""
    from core import passwords

    if not ask:
        return passwords.random_password()
    typed: str = click.prompt("密码", hide_input=True, confirmation_prompt="再输一次")
    if len(typed) < passwords.MIN_CHARS:
        _refuse(f"密码至少要 {passwords.MIN_CHARS} 个字符。")
    return typed


def _shown_once(password: str, ask: bool) -> str:
    return "" if ask else f"密码只显示这一次：\n{password}"


def _refuse(why: str) -> NoReturn:
    """End with what is wrong about the command line."""
    click.echo(why, err=True)
    sys.exit(2)


def migrated(settings: Settings) -> "Database":
    """The database, up to date. One that is just starting, as we are, is waited for."""
    from sqlalchemy.exc import DBAPIError

    from core import migrate
    from core.database import Database
    from core.doctor import why_not

    database = Database(settings.database)
    give_up = time.monotonic() + DATABASE_SECONDS
    while True:
        try:
            migrate.upgrade(database)
            return database
        except DBAPIError as fault:
            if fault.statement is not None:
                raise
            what, mend = why_not(database.engine, fault)
            if time.monotonic() > give_up or "refused" not in str(fault.orig).lower():
                sys.exit(f"数据库：{what} → {mend}")
            click.echo("等待数据库启动……", err=True)
