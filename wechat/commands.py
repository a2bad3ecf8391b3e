"""Commands of app.py about the official account.

python app.py menu pull [FILE]       the account's menu as it is now
python app.py menu push FILE         publish a menu
python app.py replies import         take over the automatic replies set up in the console
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.settings import Settings

if TYPE_CHECKING:
    from core.database import Database
    from wechat.messaging import Messaging


@click.group()
def menu() -> None:
    """公众号菜单。"""


@click.group()
def replies() -> None:
    """公众号的关键词回复。"""


@menu.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.pass_obj
def pull(settings: Settings, file: Path | None) -> None:
    """取回现在的菜单，写到 FILE 或屏幕上。"""
    from wechat.menu import from_wechat

    with _messaging(settings) as (messaging, _):
        text = json.dumps(from_wechat(messaging.menu()), ensure_ascii=False, indent=2)
    if file is None:
        click.echo(text)
    else:
        file.write_text(text + "\n", encoding="utf-8")
        click.echo(f"菜单已写到 {file}。")


@menu.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def push(settings: Settings, file: Path) -> None:
    """检查 FILE 里的菜单，然后发布。"""
    from wechat.menu import check

    try:
        wanted = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as fault:
        sys.exit(f"{file} 不是 JSON：{fault}")
    if faults := check(wanted):
        sys.exit("菜单有误，没有发布：\n" + "\n".join(faults))
    with _messaging(settings) as (messaging, _):
        messaging.set_menu(wanted)
    click.echo("菜单已发布，已关注的用户最迟 24 小时内看到，重新进入公众号可以马上看到。")


@replies.command("import")
@click.pass_obj
def import_(settings: Settings) -> None:
    """导入公众平台里设置过的自动回复（开启服务器配置后它们会失效）。"""
    from wechat.autoreplies import read, store

    with _messaging(settings) as (messaging, database):
        found = read(messaging.auto_replies())
        new = database.write(store, found)
    click.echo(f"找到 {len(found.keywords)} 条关键词回复，新增 {new} 条。")
    if found.welcome:
        click.echo("关注后的欢迎语已更新。")
    if found.left_out:
        click.echo(f"有 {found.left_out} 条规则回复的不是文字，没有导入。")


@contextmanager
def _messaging(settings: Settings) -> Iterator[tuple["Messaging", "Database"]]:
    """The account's calls and the database; what fails is said in one line."""
    from core import migrate
    from core.database import Database
    from core.doctor import said_in_a_line
    from wechat.messaging import Messaging
    from wechat.official import official_platform
    from wechat.platform import PlatformError

    platform = None
    database = Database(settings.database)
    try:
        with said_in_a_line(database.engine):
            migrate.upgrade(database)
        platform = official_platform(settings, database)
        yield Messaging(platform), database
    except PlatformError as fault:
        if fault.errcode is not None:
            sys.exit(f"微信拒绝了：{fault}")
        if not (settings.official_appid and settings.official_secret):
            sys.exit("没有公众号可用：请设置 WECHAT_APPID 和 WECHAT_SECRET。")
        mend = "请先用 make run 启动（本机模式带有微信模拟器）" if settings.local else "请检查网络和 WECHAT_API_URL"
        sys.exit(f"连不上微信 {settings.platform_url}：{mend}。（{fault}）")
    finally:
        if platform is not None:
            platform.close()
        database.dispose()
