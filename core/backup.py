"""A copy of the whole database in one file, made while everything runs."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL

PAGES = 2000  # copied at a time; in between others may write


class BackupError(Exception):
    """No copy was made; the text says why, and what to do."""


def backup(url: URL, target: Path, progress: Callable[[float], None] = lambda share: None) -> None:
    """Copy the database at `url` to `target`, which must not exist; half a copy is never left under that name."""
    if target.exists():
        raise BackupError(f"{target} 已经存在，请换一个文件名。")
    if not target.resolve().parent.is_dir():
        raise BackupError(f"文件夹 {target.resolve().parent} 不存在。")
    half = target.with_name(target.name + ".part")
    try:
        if url.get_backend_name() == "sqlite":
            _sqlite(Path(url.database or ""), half, progress)
        else:
            _by_tool(url, half)
        os.replace(half, target)
    except OSError as fault:
        raise BackupError(f"写不了 {target}：{fault.strerror}。") from fault
    finally:
        half.unlink(missing_ok=True)


def _sqlite(source: Path, half: Path, progress: Callable[[float], None]) -> None:
    if not source.is_file():
        raise BackupError(f"数据库文件 {source} 不存在，还没有可以备份的内容。")

    def report(_status: int, remaining: int, total: int) -> None:
        progress(1 - remaining / total if total else 1.0)

    _make_private(half)
    try:
        with closing(sqlite3.connect(source, timeout=30)) as live, closing(sqlite3.connect(half)) as copy:
            # What is copied is the database of this moment: else each write of others would begin the copy anew.
            live.execute("BEGIN")
            live.execute("SELECT count(*) FROM sqlite_master").fetchone()
            live.backup(copy, pages=PAGES, progress=report, sleep=0.01)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            found = copy.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as fault:
        raise BackupError(f"备份没有完成：{fault}。") from fault
    if found != "ok":
        raise BackupError(f"数据库文件已损坏，备份不可用：{found}")


def _by_tool(url: URL, half: Path) -> None:
    """The database's own tool knows best. The password goes through the environment: `ps` shows arguments."""
    host, port, user = url.host or "127.0.0.1", url.port, url.username or ""
    if url.get_backend_name() == "postgresql":
        tools, password = ["pg_dump"], "PGPASSWORD"
        arguments = ["--format=custom", "--no-owner", f"--host={host}", f"--port={port or 5432}"]
        arguments += [f"--username={user}", f"--dbname={url.database}"]
        by_hand = f"pg_dump --format=custom --host={host} --port={port or 5432} --username={user} {url.database}"
    else:
        tools, password = ["mariadb-dump", "mysqldump"], "MYSQL_PWD"
        arguments = ["--single-transaction", "--quick", "--default-character-set=utf8mb4", f"--host={host}"]
        arguments += [f"--port={port or 3306}", f"--user={user}", str(url.database)]
        by_hand = (
            "mysqldump --single-transaction --default-character-set=utf8mb4"
            f" --host={host} --port={port or 3306} --user={user} -p {url.database}"
        )
    tool = next(filter(None, map(shutil.which, tools)), None)
    if tool is None:
        advice = "请安装数据库的客户端工具，或在数据库所在的机器上运行："
        raise BackupError(f"这台机器上没有 {tools[-1]}。{advice}\n  {by_hand} > 文件")
    _make_private(half)
    with half.open("wb") as output:
        done = subprocess.run(
            [tool, *arguments],
            stdout=output,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=os.environ | ({password: url.password} if url.password else {}),
            check=False,
        )
    if done.returncode:
        raise BackupError(f"{Path(tool).name} 失败了：{done.stderr.decode(errors='replace').strip()}")


def _make_private(path: Path) -> None:
    """It holds what users said: for nobody else to read."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
