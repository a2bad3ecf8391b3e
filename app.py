"""The whole server in one command: `python app.py` reads the settings, builds everything and runs it.

python app.py [serve]      all processes under one parent
python app.py api          the HTTP API
python app.py console      the console for staff
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

import atexit
import gc
import sys

if __name__ == "__main__":
    # Nearly all that we allocate is code, which stays: to search it for garbage again and again costs a third of the
    # time that a process takes to start and to end, and would stop a thousand streams for a tenth of a second.
    gc.set_threshold(20_000, 20, 50)
    atexit.register(gc.freeze)

if sys.argv[1:2] in (["api"], ["simulator"]):
    # gevent has to be first: what is imported before it keeps the blocking calls.
    from gevent import monkey

    monkey.patch_all()

import json
import os
import resource
import secrets
import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core import logs
from core.commandline import Commands
from core.commands import db, migrated, model, staff
from core.settings import SIMULATOR_APPID, SIMULATOR_OFFICIAL_APPID, SIMULATOR_SECRET, Settings, SettingsError
from core.supervisor import PARENT_VARIABLE, Child, Supervisor
from wechat.commands import menu, replies
from wechat.processes import die_with_parent, listen

if TYPE_CHECKING:
    from flask import Flask

    from admin.services import Services
    from core.database import Database
    from core.model import CogitoModel
    from core.model.source import ModelSource
    from core.writers import Writers


@click.group(cls=Commands, invoke_without_command=True)
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


for one in (model, db, staff, menu, replies):
    main.add_command(one)


@main.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """运行全部进程（默认）。"""

    def command(name: str) -> list[str]:
        return [sys.executable, os.path.abspath(__file__), name]

    health = f"{_url(settings.bind_host, settings.port)}/health"
    listener = listen(settings.bind_host, settings.port)  # now, while a fault can be said in one line
    listen(settings.console_host, settings.console_port, "CONSOLE_PORT").close()
    if settings.local:
        listen("127.0.0.1", settings.simulator_port, "SIMULATOR_PORT").close()
        # Between the simulator and the API, for as long as they run.
        os.environ.setdefault("WECHAT_TOKEN", settings.wechat_token or secrets.token_hex(16))
        os.environ.setdefault("WECHAT_AES_KEY", settings.wechat_aes_key or secrets.token_hex(32)[:43])
    children = [Child("接口", command("api"), ready=lambda: _answers(health), listener=listener)]
    if settings.embedded:
        from core.embedded import explain_exit

        rendezvous = settings.data_dir / "model.json"
        rendezvous.unlink(missing_ok=True)  # of an engine that was killed
        children.append(Child("模型", command("model"), ready=rendezvous.exists, explain=explain_exit))
    console_health = f"{_console(settings)}/health"
    children.insert(0, Child("控制台", command("console"), ready=lambda: _answers(console_health)))
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

    for doubt in settings.doubts:
        click.echo(doubt, err=True)
    metrics.share()
    _allow_many_connections()
    database = migrated(settings)
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
        gc.collect()
        gc.freeze()  # what is there now stays as long as we do
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
    from core.model.source import ModelSource
    from core.speech import Speech
    from core.writers import Writers
    from wechat.api import create_api
    from wechat.platform import WeChatPlatform
    from wechat.sec_check import MsgSecCheck

    source = ModelSource(settings)
    model = _model(settings, source)
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


def _model(settings: Settings, source: "ModelSource") -> "CogitoModel":
    from core.model import CogitoModel

    return CogitoModel(
        source.endpoints,
        first_token_seconds=settings.model_first_token_seconds,
        idle_seconds=settings.model_idle_seconds,
        total_seconds=settings.model_total_seconds,
        tries=40 if settings.embedded else 4,  # our own engine is coming back: wait for its first token's time
        pool_size=source.facts().max_concurrent,
    )


@main.command()
@click.pass_obj
def console(settings: Settings) -> None:
    """只运行控制台。"""
    with tempfile.TemporaryDirectory(prefix="console-") as folder:
        # Before Gradio is imported: nothing is sent anywhere, and its files are nobody else's.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        _run_console(settings)


def _run_console(settings: Settings) -> None:
    from admin.server import create_console, run
    from core import passwords
    from core.indexing import Indexer
    from core.store import staff

    listener = listen(settings.console_host, settings.console_port, "CONSOLE_PORT")
    database = migrated(settings)
    password = passwords.random_password()
    if database.write(staff.add_first, passwords.hashed(password)):
        click.echo(f"控制台的第一个账号：admin，密码（只显示这一次）：{password}")
    services = build_console(settings, database)
    indexer = Indexer(database, settings)
    services.writers.start()
    indexer.start()
    try:
        run(create_console(services), listener)
    finally:
        indexer.stop()
        services.writers.drain(min(5.0, settings.shutdown_seconds / 2))
        services.exports.close()
        database.dispose()


def build_console(settings: Settings, database: "Database") -> "Services":
    """What the console works with: the same engine, with writers for what staff ask, who have no quota."""
    from admin.access import Access
    from admin.export import Exports
    from admin.services import CHANNEL, Services
    from core.engine import ChatEngine
    from core.live import LiveContent
    from core.model.source import ModelSource
    from core.writers import Writers

    source = ModelSource(settings)
    model = _model(settings, source)
    live = LiveContent(database)
    writers = Writers(database, model, source, live, settings, only_channel=CHANNEL)
    unlimited = settings.model_copy(update={"user_per_minute": 0, "user_per_day": 0})
    engine = ChatEngine(database, writers, live, unlimited)
    exports = Exports(settings.data_dir, database)
    writers.each_tick.append(exports.sweep)
    return Services(settings, database, Access(database, settings), engine, writers, live, model, source, exports)


@main.command()
@click.pass_obj
def simulator(settings: Settings) -> None:
    """只运行桌面微信模拟器（仅本机）。"""
    from wechat.server import run
    from wechat.simulator.account import Account
    from wechat.simulator.app import create_simulator
    from wechat.simulator.official import START_MENU
    from wechat.simulator.preview import preview

    base = _url(settings.bind_host, settings.port)
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
        app.extensions["official"].menu = START_MENU
        app.register_blueprint(preview(Path(__file__).parent / "build" / "preview", base))
        return app

    run(
        build,
        host="127.0.0.1",
        port=settings.simulator_port,
        port_variable="SIMULATOR_PORT",
        workers=1,
        graceful_seconds=1,
    )


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


def _allow_many_connections() -> None:
    """A stream takes three descriptors: the client's, the model's, and one to stop the model by."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _url(host: str, port: int) -> str:
    """Where something that listens there is reached from this machine."""
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _console(settings: Settings) -> str:
    return _url(settings.console_host, settings.console_port)


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
    lines.append(f"控制台  {_console(settings)}")
    lines.append(f"文档    {base}/docs")
    lines += [f"模型    {about}", "停止    Ctrl-C"]
    click.echo("\n".join([f"{settings.brand_name} 已启动", *(f"  {line}" for line in lines)]))


if __name__ == "__main__":
    main()
