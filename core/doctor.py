"""`python app.py doctor`: every setting against reality, a line each.

A check yields findings: what is fine, what is worth knowing, what is wrong and how to mend it. The checks of
what core knows are here and in `core/doctor_model.py`; those of WeChat are the edge's own (`wechat/diagnosis.py`).
"""

import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import requests
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from core import migrate
from core.logs import redacted
from core.settings import Settings

LEAST_FREE, LITTLE_FREE = 500 << 20, 2 << 30
CONNECT_SECONDS = 5
LEGAL_DAYS = 183


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend` says what to do about it."""

    subject: str
    state: Literal["ok", "note", "fault"]
    text: str
    mend: str = ""

    def __str__(self) -> str:
        mark = {"ok": "✓", "note": "·", "fault": "✗"}[self.state]
        line = f"{mark} {self.subject}：{self.text}" + (f" → {self.mend}" if self.mend else "")
        return redacted(" ".join(line.split()))


Check = Callable[[Settings], Iterable[Finding]]


def ok(subject: str, text: str) -> Finding:
    return Finding(subject, "ok", text)


def note(subject: str, text: str, mend: str = "") -> Finding:
    return Finding(subject, "note", text, mend)


def fault(subject: str, text: str, mend: str) -> Finding:
    return Finding(subject, "fault", text, mend)


def examine(settings: Settings, checks: Iterable[Check], show: Callable[[Finding], None]) -> bool:
    """Run the checks and show what they find; whether nothing is wrong."""
    healthy = True
    for check in checks:
        try:
            for finding in check(settings):
                show(finding)
                healthy = healthy and finding.state != "fault"
        except Exception as bug:  # one check that fails must not hide the others
            show(fault(check.__name__, f"检查没能做完（{type(bug).__name__}）", "请把这一行报告给开发者"))
            healthy = False
    return healthy


# The database

DATABASE = "数据库"


def database(settings: Settings) -> Iterator[Finding]:
    try:
        engine = _engine(settings.database)
    except (ArgumentError, NoSuchModuleError, ImportError):
        yield fault(
            DATABASE,
            "DATABASE_URL 的写法不对",
            "应为 sqlite:///文件、postgresql+psycopg://用户:密码@主机/库 或 mysql+pymysql://用户:密码@主机/库",
        )
        return
    try:
        if engine.dialect.name == "sqlite" and (finding := _file(engine)):
            yield finding
            return
        try:
            connection = engine.connect()
        except DBAPIError as error:
            yield fault(DATABASE, *why_not(engine, error))
            return
        with connection:
            try:
                yield from _inside(connection)
            except DBAPIError as error:
                yield fault(DATABASE, *why_not(engine, error))
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    local = url.startswith("sqlite")
    return create_engine(url, connect_args={"timeout": 5} if local else {"connect_timeout": CONNECT_SECONDS})


def _file(engine: Engine) -> Finding | None:
    """What there is to say of a SQLite file before it is opened; opening would make it."""
    name = engine.url.database
    if not name:
        return fault(DATABASE, "数据只在内存里，一停就没了", "把 DATABASE_URL 设为 sqlite:///data/chat.db")
    path = Path(name)
    if path.exists():
        return None
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return fault(DATABASE, f"{path} 建不了：{folder} 不可写", "换一个 DATABASE_URL，或改文件夹的权限")
    return note(DATABASE, f"{path} 还不存在，首次启动时会自动建好")


def why_not(engine: Engine, error: DBAPIError) -> tuple[str, str]:
    """What keeps us from connecting, and what to do about it."""
    url, said = engine.url, str(error.orig).lower()
    where = f"{url.host}:{url.port or {'postgresql': 5432}.get(url.get_backend_name(), 3306)}"
    if url.get_backend_name() == "sqlite":
        return f"打不开 {url.database}（{error.orig}）", "检查文件和文件夹的权限，或换一个 DATABASE_URL"
    if any(words in said for words in ("password authentication", "access denied", "no password supplied", "1045")):
        return (
            f"{where} 拒绝了用户名或密码（用户 {url.username}）",
            "改正 DATABASE_URL 或 MYSQL_USERNAME、MYSQL_PASSWORD",
        )
    if "does not exist" in said and "role" in said:
        return f"{where} 上没有用户 {url.username}", "改正 DATABASE_URL 里的用户名"
    if "does not exist" in said or "unknown database" in said:
        create = f"CREATE DATABASE {url.database}"
        mysql = " CHARACTER SET utf8mb4" if url.get_backend_name() != "postgresql" else " ENCODING 'UTF8'"
        return f"{where} 上没有名为 {url.database} 的数据库", f"先建库：{create}{mysql};"
    if any(words in said for words in ("getaddrinfo", "name or service", "resolve", "nodename")):
        return f"找不到主机 {url.host}", "改正 DATABASE_URL 或 MYSQL_ADDRESS 里的主机名"
    if "timed out" in said or "timeout" in said:
        return f"连接 {where} 超时", "检查防火墙、安全组，以及数据库是否允许从这台机器访问"
    if "resuming" in said:
        return f"{where} 正在从休眠中恢复", "过几秒再运行一次；服务运行时会自动等它"
    if "refused" in said or "2003" in said:
        return f"连不上 {where}：没有数据库在监听", "启动数据库，或改正 DATABASE_URL（MYSQL_ADDRESS）的主机和端口"
    return f"连不上 {where}：{str(error.orig).splitlines()[0]}", "检查 DATABASE_URL"


@contextmanager
def said_in_a_line(engine: Engine) -> Iterator[None]:
    """End the command with a line that says why the database cannot be reached, if that is so."""
    try:
        yield
    except DBAPIError as error:
        if error.statement is not None:
            raise
        what, mend = why_not(engine, error)
        sys.exit(redacted(f"数据库：{what} → {mend}"))


def _inside(connection: Connection) -> Iterator[Finding]:
    kind = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(connection.dialect.name, "MySQL")
    revision, head = migrate.revision(connection), migrate.head()
    tables = set(inspect(connection).get_table_names())
    if revision is None:
        yield note(DATABASE, f"{kind} 可以连接，还是空库，首次启动时会自动建表")
    elif revision not in migrate.known():
        yield fault(DATABASE, f"数据库的结构（{revision}）比程序新", "换用新版本的程序；不要让新旧版本共用一个库")
    elif revision != head:
        yield fault(
            DATABASE, f"结构还是旧版本 {revision}，程序需要 {head}", "运行 python app.py db upgrade，或重启服务"
        )
    else:
        yield ok(DATABASE, f"{kind} 可以连接，结构是最新的（{head}）")
    connection.rollback()
    if reason := _cannot_write(connection, "revisions" in tables):
        yield fault(
            DATABASE, f"只能读，不能写（{reason}）", "检查磁盘、文件权限，或给数据库用户写权限；别连到只读副本"
        )
    if kind == "MySQL":
        yield from _characters(connection, tables)


def _cannot_write(connection: Connection, migrated: bool) -> str | None:
    """Why nothing can be written; what is tried is taken back."""
    probe = "chat_doctor_probe"
    try:
        if migrated:
            connection.execute(text("UPDATE revisions SET number = number"))
        else:
            connection.execute(text(f"CREATE TABLE {probe} (id INTEGER)"))
            if connection.dialect.name not in ("sqlite", "postgresql"):  # DDL there commits by itself
                connection.execute(text(f"DROP TABLE {probe}"))
    except DBAPIError as error:
        return str(error.orig).splitlines()[0]
    finally:
        connection.rollback()
    return None


def _characters(connection: Connection, tables: set[str]) -> Iterator[Finding]:
    default = connection.execute(text("SELECT @@character_set_database")).scalar()
    speaks = connection.execute(text("SELECT @@character_set_connection")).scalar()
    if speaks != "utf8mb4":
        yield fault(
            DATABASE, f"连接用的字符集是 {speaks}，存不下表情符号", "在 DATABASE_URL 末尾加上 ?charset=utf8mb4"
        )
    query = text(
        "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = DATABASE()"
        " AND table_name <> 'alembic_version' AND character_set_name <> 'utf8mb4' ORDER BY 1"
    )
    narrow = [name for name in connection.execute(query).scalars() if name in tables]
    if narrow:
        yield fault(
            DATABASE,
            f"表 {'、'.join(narrow)} 的字符集不是 utf8mb4，存不下表情符号",
            f"ALTER TABLE {narrow[0]} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;（每张表一次）",
        )
    elif default != "utf8mb4" and not tables:
        mend = f"ALTER DATABASE `{connection.engine.url.database}` CHARACTER SET utf8mb4;"
        yield fault(DATABASE, f"库的默认字符集是 {default}，不是 utf8mb4", mend)
    elif default != "utf8mb4":
        yield note(DATABASE, f"库的默认字符集是 {default}；我们的表都是 utf8mb4，不受影响")


# The machine


def ports(settings: Settings) -> Iterator[Finding]:
    wanted = [
        ("接口端口", settings.bind_host, "PORT", settings.port),
        ("控制台端口", settings.console_host, "CONSOLE_PORT", settings.console_port),
    ]
    if settings.local:
        wanted.append(("模拟器端口", "127.0.0.1", "SIMULATOR_PORT", settings.simulator_port))
    taken: dict[int, str] = {}
    for subject, host, variable, port in wanted:
        if port in taken:
            yield fault(subject, f"{variable} 和 {taken[port]} 都是 {port}", "改成不同的端口")
            continue
        taken[port] = variable
        yield _port(subject, host, variable, port)


def _port(subject: str, host: str, variable: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        return ok(subject, f"{host}:{port} 空闲")
    except PermissionError:
        return fault(subject, f"没有权限监听 {port}", f"把 {variable} 改成 1024 以上，由 nginx 监听 80 和 443")
    except OSError as error:
        if ours(port):
            return ok(subject, f"{host}:{port} 由正在运行的本服务使用")
        if isinstance(error, socket.gaierror) or error.errno == 99:
            return fault(subject, f"本机没有地址 {host}", "改正 HOST，通常写 127.0.0.1 或 0.0.0.0")
        return fault(
            subject, f"{host}:{port} 被别的程序占用", f"停掉它（ss -ltnp | grep {port}），或换一个 {variable}"
        )


def ours(port: int) -> bool:
    """Whether it is a process of ours that listens there."""
    session = requests.Session()
    session.trust_env = False
    for path, sign in (("/health", "mini-program-ai-backend"), ("/", "模拟器"), ("/login", "控制台")):
        try:
            page = session.get(f"http://127.0.0.1:{port}{path}", timeout=1).content
        except requests.RequestException:
            return False
        if sign in page.decode(errors="replace"):
            return True
    return False


def disk(settings: Settings, *, least: int = LEAST_FREE) -> Iterator[Finding]:
    folder = next(path for path in (settings.data_dir, Path()) if path.exists())
    free = shutil.disk_usage(folder).free
    room = f"剩余 {free / (1 << 30):.1f} GB"
    if free < least:
        yield fault("磁盘", f"{room}，快满了，写不进去就答不了问题", "清理磁盘，或把 data/ 移到大一点的盘上")
    elif free < LITTLE_FREE:
        yield note("磁盘", f"{room}，不多了")
    else:
        yield ok("磁盘", room)


def odds_and_ends(settings: Settings) -> Iterator[Finding]:
    """Settings that nothing contradicts and that are still worth a word."""
    with suppress(OSError):
        mode = Path(".env").stat().st_mode
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            yield note(".env", "里面有密钥，而别的用户也能读", "chmod 600 .env")
    if 0 < settings.retention_days < LEGAL_DAYS:
        yield note("RETENTION_DAYS", f"只保留 {settings.retention_days} 天，而网络日志依法至少留存六个月", "设为 200")
    if settings.alert_webhook_url:
        yield from _robot(settings.alert_webhook_url)
    if not settings.local:
        for name, why in (("privacy_contact", "隐私联系方式"), ("filing_text", "备案信息")):
            if not getattr(settings, name):
                yield note(name.upper(), f"没有填写{why}", "上线前请填写，用户和审核都会看")


def _robot(url: str) -> Iterator[Finding]:
    """An empty message is refused, and by how it is refused the key shows; the group sees nothing."""
    body: dict[str, Any] = {"msgtype": "text", "text": {"content": ""}}
    try:
        answer = requests.post(url, json=body, timeout=5, allow_redirects=False).json()
        code = answer.get("errcode")
    except (requests.RequestException, ValueError, AttributeError):
        yield fault("ALERT_WEBHOOK_URL", "企业微信群机器人连不上", "检查地址和网络；没有告警时可以清空这一项")
        return
    if code == 93000:
        yield fault("ALERT_WEBHOOK_URL", "企业微信不认识这个机器人", "在群里重新复制机器人的 Webhook 地址")
    else:
        yield ok("ALERT_WEBHOOK_URL", "群机器人可以连接")
