"""The whole server in one command: `python app.py` reads the settings, builds everything and runs it.

python app.py [serve]      all processes under one parent
python app.py api          the HTTP API
python app.py model        the embedded model
python app.py simulator    the desk simulator that stands for WeChat in local mode
python app.py model download   the real model, from ModelScope or Hugging Face
python app.py doctor       check every setting against reality
python app.py db upgrade   bring the database up to date
python app.py db backup FILE   a copy of it, while everything runs
python app.py staff add NAME   an account for the console
python app.py menu pull|push   the official account's menu as a file
python app.py replies import   take over the automatic replies of the official account
"""

import sys

if sys.argv[1:2] in (["api"], ["simulator"]):
    # gevent has to be first: what is imported before it keeps the blocking calls.
    from gevent import monkey

    monkey.patch_all()

import gc
import json
import os
import resource
import secrets
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core import logs
from core.settings import SIMULATOR_APPID, SIMULATOR_OFFICIAL_APPID, SIMULATOR_SECRET, Settings, SettingsError
from core.supervisor import PARENT_VARIABLE, Child, Supervisor
from wechat.commands import menu, replies
from wechat.processes import die_with_parent, listen

if TYPE_CHECKING:
    from flask import Flask

    from core.database import Database
    from core.writers import Writers

DATABASE_SECONDS = 30  # for which a database that refuses connections is waited for at the start


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """微信 AI 对话服务。不带命令等于 serve。"""
    if parent := os.environ.pop(PARENT_VARIABLE, None):
        die_with_parent(int(parent))
        context.meta["child"] = True
    try:
        settings = Settings.load()
    except SettingsError as fault:
        click.echo(f"配置有误，没有启动：\n{fault}", err=True)
        sys.exit(1 if context.invoked_subcommand == "doctor" else 2)
    context.obj = settings
    logs.set_up(settings.log_level, settings.log_format, settings.secrets)
    if context.invoked_subcommand is None:
        context.invoke(serve)


main.add_command(menu)
main.add_command(replies)


@main.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """运行全部进程（默认）。"""

    def command(name: str) -> list[str]:
        return [sys.executable, os.path.abspath(__file__), name]

    host = "127.0.0.1" if settings.bind_host in ("0.0.0.0", "::") else settings.bind_host
    health = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/health"
    listen(settings.bind_host, settings.port).close()  # now, while it can be said in one line
    if settings.local:
        listen("127.0.0.1", settings.simulator_port).close()
        # Between the simulator and the API, for as long as they run.
        os.environ.setdefault("WECHAT_TOKEN", settings.wechat_token or secrets.token_hex(16))
        os.environ.setdefault("WECHAT_AES_KEY", settings.wechat_aes_key or secrets.token_hex(32)[:43])
    children = [Child("接口", command("api"), ready=lambda: _answers(health))]
    if settings.embedded:
        from core.embedded import explain_exit

        rendezvous = settings.data_dir / "model.json"
        rendezvous.unlink(missing_ok=True)  # of an engine that was killed
        children.append(Child("模型", command("model"), ready=rendezvous.exists, explain=explain_exit))
    if settings.local:
        port = settings.simulator_port
        children.append(Child("微信模拟器", command("simulator"), ready=lambda: _listens(port)))
    sys.exit(Supervisor(children, settings.shutdown_seconds, lambda: _announce(settings, health)).run())


@main.command()
@click.pass_obj
def api(settings: Settings) -> None:
    """只运行 HTTP 接口。"""
    from core import metrics
    from wechat.server import run

    metrics.share()
    _allow_many_connections()
    database = _migrated(settings)
    database.dispose()
    process = ApiProcess(settings, database)
    run(
        process.build,
        host=settings.bind_host,
        port=settings.port,
        workers=settings.api_workers,
        graceful_seconds=settings.shutdown_seconds,
        lifecycle=process,
    )


class ApiProcess:
    """One worker of the API, from its fork to its end (`wechat.server.Lifecycle`)."""

    def __init__(self, settings: Settings, database: "Database") -> None:
        # Loaded before the fork, so that a worker that takes a dead one's place serves at once.
        import wechat.api  # noqa: F401

        self._settings = settings
        self._database = database

    def build(self) -> "Flask":
        app, self._writers = build_api(self._settings, self._database)
        self._official = app.extensions["official_account"]
        return app

    def start(self) -> None:
        # What is loaded stays: the garbage collector need not look at it again and again. With its usual thresholds
        # it would stop a thousand streams for a tenth of a second, several times a minute.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        self._writers.start()
        self._official.start()

    def sigterm(self) -> None:
        self._official.stop()
        # A while before the end, unfinished answers are handed to other processes.
        seconds = self._settings.shutdown_seconds
        self._writers.drain(seconds - min(5.0, seconds / 2))

    def stop(self) -> None:
        self._database.dispose()


def build_api(settings: Settings, database: "Database") -> "tuple[Flask, Writers]":
    """The API's Flask app and the writers behind it; start the writers before the first request."""
    from core.alerts import Alerts, ModelWatch
    from core.chores import Chores
    from core.engine import ChatEngine
    from core.live import LiveContent
    from core.metrics import Metrics
    from core.model import CogitoModel
    from core.model_source import ModelSource
    from core.speech import Speech
    from core.writers import Writers
    from wechat.api import create_api
    from wechat.platform import WeChatPlatform
    from wechat.sec_check import MsgSecCheck

    source = ModelSource(settings)
    model = CogitoModel(
        source.endpoints,
        first_token_seconds=settings.model_first_token_seconds,
        idle_seconds=settings.model_idle_seconds,
        total_seconds=settings.model_total_seconds,
        tries=40 if settings.embedded else 4,  # our own engine is coming back: wait for its first token's time
        pool_size=source.facts().max_concurrent,
    )
    live = LiveContent(database)
    metrics = Metrics(database, model.endpoints_state)
    platform = WeChatPlatform(
        settings.platform_url,
        appid=settings.platform_appid,
        secret=settings.platform_secret,
        database=database,
        open_api=settings.wechat_cloud and not settings.local and not settings.platform_secret,
    )
    screening = None
    if settings.wechat_msg_sec_check != "off":
        closed = settings.wechat_msg_sec_check == "closed"
        screening = MsgSecCheck(platform, database, settings.platform_appid, closed=closed)
    writers = Writers(database, model, source, live, settings, screening=screening, on_end=metrics.turn_ended)
    alerts = Alerts(database, settings.alert_webhook_url, settings.brand_name)
    watch = ModelWatch(database, model.ping, lambda: [one["url"] for one in model.endpoints_state()], alerts)
    writers.each_tick += [Chores(database, settings).look, watch.look]
    engine = ChatEngine(database, writers, live, settings, screening)
    app = create_api(
        engine=engine,
        database=database,
        writers=writers,
        model=model,
        source=source,
        platform=platform,
        speech=Speech(settings),
        metrics=metrics,
        alerts=alerts,
        settings=settings,
    )
    return app, writers


@main.group(invoke_without_command=True)
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


@main.command()
@click.pass_obj
def simulator(settings: Settings) -> None:
    """只运行桌面微信模拟器（仅本机）。"""
    from wechat.server import run
    from wechat.simulator.account import Account
    from wechat.simulator.app import create_simulator
    from wechat.simulator.preview import preview

    host = "127.0.0.1" if settings.bind_host in ("0.0.0.0", "::") else settings.bind_host
    base = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    account = Account(
        SIMULATOR_OFFICIAL_APPID,
        callback=f"{base}/wechat/callback" if settings.wechat_token else "",
        token=settings.wechat_token,
        aes_key=settings.wechat_aes_key,
        mode=settings.callback_mode,
        may_push=settings.wechat_customer_service,
        title=settings.brand_name,
    )
    accounts = {SIMULATOR_APPID: SIMULATOR_SECRET, SIMULATOR_OFFICIAL_APPID: SIMULATOR_SECRET}

    def build() -> "Flask":
        app = create_simulator(accounts, account)
        app.register_blueprint(preview(Path(__file__).parent / "build" / "preview", base))
        return app

    run(
        build,
        host="127.0.0.1",
        port=settings.simulator_port,
        workers=1,
        graceful_seconds=1,
    )


@main.group()
def db() -> None:
    """数据库。"""


@db.command()
@click.pass_obj
def upgrade(settings: Settings) -> None:
    """把数据库升级到最新结构。"""
    from core import migrate
    from core.database import Database

    database = Database(settings.database)
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


@main.group()
def staff() -> None:
    """管理台的账号。"""


@staff.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "editor", "admin"]), default="viewer", show_default=True)
@click.option("--ask", is_flag=True, help="自己输入密码；不写就生成一个，只显示这一次。")
@click.pass_obj
def add(settings: Settings, name: str, role: str, ask: bool) -> None:
    """添加一个管理台账号。"""
    from core import passwords
    from core.errors import Conflict
    from core.store import staff as accounts

    if not (name.strip() == name and 1 <= len(name) <= 64 and name.isprintable()):
        raise click.BadParameter("名字为 1 到 64 个字符，首尾没有空格。")
    password = passwords.random_password()
    if ask:
        password = click.prompt("密码", hide_input=True, confirmation_prompt="再输一次")
        if len(password) < passwords.MIN_CHARS:
            raise click.BadParameter(f"密码至少要 {passwords.MIN_CHARS} 个字符。")
    database = _migrated(settings)
    try:
        database.write(accounts.add, name, passwords.hashed(password), role)
    except Conflict:
        click.echo(f"已经有叫 {name} 的账号。", err=True)
        sys.exit(1)
    finally:
        database.dispose()
    click.echo(f"已添加账号 {name}（{role}）。" + ("" if ask else f"密码只显示这一次：\n{password}"))


@main.command()
@click.pass_obj
def doctor(settings: Settings) -> None:
    """逐项检查配置是否符合实际，并说明怎么改。"""
    from core.doctor import Finding, database, disk, examine, odds_and_ends, ports
    from core.doctor_model import model, speech
    from wechat.checks import official_account
    from wechat.diagnosis import OFFICIAL, wechat

    shown: list[Finding] = []

    def show(finding: Finding) -> None:
        shown.append(finding)
        click.echo(str(finding))

    def closer_look(settings: Settings) -> Iterator[Finding]:
        if not any(one.subject == OFFICIAL and one.state == "fault" for one in shown):
            yield from official_account(settings)

    checks = (database, model, speech, wechat, closer_look, ports, disk, odds_and_ends)
    healthy = examine(settings, checks, show)
    click.echo("没有发现问题。" if healthy else "请按上面打 ✗ 的各行修改。")
    sys.exit(0 if healthy else 1)


def _migrated(settings: Settings) -> "Database":
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


def _allow_many_connections() -> None:
    """A stream takes three descriptors: the client's, the model's, and one to stop the model by."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _answers(url: str) -> bool:
    """Whether a GET gets its 200 at once."""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _announce(settings: Settings, health: str) -> None:
    """Say where everything is, in a few lines."""
    base = health.removesuffix("/health")
    if settings.embedded:
        engine = json.loads((settings.data_dir / "model.json").read_text())
        about = engine["name"] + ("：只会回答少量固定的问题，接入 Cogito 的办法见 README" if engine["demo"] else "")
    else:
        about = f"{settings.model_name}，{'、'.join(settings.model_api_url)}"
    lines = [f"接口    {base}（本机模式：只有这台电脑能访问）" if settings.local else f"接口    {base}"]
    if settings.local:
        lines.append(f"模拟器  http://127.0.0.1:{settings.simulator_port}（代替微信：和公众号聊天、小程序登录）")
        if (Path(__file__).parent / "build" / "preview" / "index.html").exists():
            lines.append(f"小程序  http://127.0.0.1:{settings.simulator_port}/miniprogram/（浏览器里的预览）")
    lines.append(f"文档    {base}/docs")
    lines += [f"模型    {about}", "停止    Ctrl-C"]
    click.echo("\n".join([f"{settings.brand_name} 已启动", *(f"  {line}" for line in lines)]))


if __name__ == "__main__":
    main()
