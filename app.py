"""The whole server in one command: `python app.py` reads the settings, builds everything and runs it.

python app.py [serve]      all processes under one parent
python app.py api          the HTTP API
python app.py model        the embedded model
python app.py simulator    the desk simulator that stands for WeChat in local mode
python app.py db upgrade   bring the database up to date
"""

import sys

if sys.argv[1:2] in (["api"], ["simulator"]):
    # gevent has to be first: what is imported before it keeps the blocking calls.
    from gevent import monkey

    monkey.patch_all()

import json
import os
import resource
import socket
import urllib.request
from typing import TYPE_CHECKING

import click

from core import logs
from core.settings import SIMULATOR_APPID, SIMULATOR_SECRET, Settings, SettingsError
from core.supervisor import PARENT_VARIABLE, Child, Supervisor
from wechat.processes import die_with_parent, listen

if TYPE_CHECKING:
    from flask import Flask

    from core.database import Database
    from core.writers import Writers


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
        sys.exit(2)
    context.obj = settings
    logs.set_up(settings.log_level, settings.log_format)
    if context.invoked_subcommand is None:
        context.invoke(serve)


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
    from core import migrate
    from core.database import Database
    from wechat.server import run

    _allow_many_connections()
    database = Database(settings.database)
    migrate.upgrade(database)
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
        return app

    def start(self) -> None:
        self._writers.start()

    def sigterm(self) -> None:
        # A while before the end, unfinished answers are handed to other processes.
        seconds = self._settings.shutdown_seconds
        self._writers.drain(seconds - min(5.0, seconds / 2))

    def stop(self) -> None:
        self._database.dispose()


def build_api(settings: Settings, database: "Database") -> "tuple[Flask, Writers]":
    """The API's Flask app and the writers behind it; start the writers before the first request."""
    from core.engine import ChatEngine
    from core.live import LiveContent
    from core.model import CogitoModel
    from core.model_source import ModelSource
    from core.writers import Writers
    from wechat.api import create_api
    from wechat.platform import WeChatPlatform

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
    writers = Writers(database, model, source, live, settings)
    engine = ChatEngine(database, writers, live, settings)
    platform = WeChatPlatform(settings.platform_url, appid=settings.platform_appid, secret=settings.platform_secret)
    app = create_api(
        engine=engine,
        database=database,
        writers=writers,
        model=model,
        source=source,
        platform=platform,
        settings=settings,
    )
    return app, writers


@main.command()
@click.pass_context
def model(context: click.Context) -> None:
    """只运行内置模型。"""
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


@main.command()
@click.pass_obj
def simulator(settings: Settings) -> None:
    """只运行桌面微信模拟器（仅本机）。"""
    from wechat.server import run
    from wechat.simulator.app import create_simulator

    run(
        lambda: create_simulator({SIMULATOR_APPID: SIMULATOR_SECRET}),
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
        lines.append(f"模拟器  http://127.0.0.1:{settings.simulator_port}（没有配置小程序，由它代替微信登录）")
    lines += [f"模型    {about}", "停止    Ctrl-C"]
    click.echo("\n".join([f"{settings.brand_name} 已启动", *(f"  {line}" for line in lines)]))


if __name__ == "__main__":
    main()
