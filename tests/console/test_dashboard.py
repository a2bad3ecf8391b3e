"""看板: the figures are those of what happened, for the stretch of time and the channel that are asked for."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from admin import charts
from core.indexing import Indexer
from core.settings import Settings
from core.store import figures
from tests.console import made
from tests.console.conftest import Office, go
from tests.server import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

Enter = Callable[..., Any]
DAY = 86_400_000


@pytest.fixture(autouse=True)
def empty(office: Office) -> None:
    made.clear(office.database)


def board(page: "Page") -> "Page":
    go(page, "运行", "看板")
    page.locator("#dashboard .card, #dashboard .empty").first.wait_for()
    return page


def card(page: "Page", title: str) -> str:
    """What a card says, in one line."""
    found = page.locator("#dashboard .card", has=page.get_by_role("heading", name=title, exact=True))
    return " ".join(found.inner_text().split())


def says(page: "Page", title: str, pattern: str) -> None:
    wait_until(lambda: re.search(pattern, card(page, title)), what=f"{pattern} in {card(page, title)}")


def test_the_figures_are_those_of_what_happened(office: Office, enter: Enter) -> None:
    database = office.database
    one, other = made.user(database), made.user(database)
    masked = [{"word": "暴力", "action": "mask", "start": 0, "end": 2, "in": "question"}]
    ids = [
        made.turn(database, one, "一", ago=2 * DAY, rating="up", hits=masked, first_token_ms=400, duration_ms=2000),
        made.turn(database, one, "二", ago=2 * DAY, rating="down", channel="official"),
        made.turn(database, other, "三", ago=DAY, channel="official", status="failed", code="model_timeout"),
        made.turn(database, other, "四", ago=3 * DAY, channel="official", status="blocked", code="content_blocked"),
        made.turn(database, one, "很久以前", ago=20 * DAY),
        made.turn(database, one, "员工试的", ago=DAY, channel="console"),
    ]
    made.delivery(database, ids[1], "shown", ago=2 * DAY)
    made.delivery(database, ids[2], "rest", ago=DAY // 2, arrivals=2)
    made.delivery(database, ids[3], "rest", ago=3 * DAY, arrivals=3, pushed=1)

    Indexer(database, Settings(_env_file=None)).look()  # type: ignore[call-arg]
    wait_until(lambda: database.read(figures.next_slots) is None, 20, "the counting")  # here, or by the console
    page = board(enter("小陈"))
    says(page, "提问", r"^提问 4 50.0% 顺利答完")
    says(page, "用户", r"^用户 2 平均每人问 2.0 次")
    says(page, "首字用时", r"^首字用时 0\.\d\d 秒")
    says(page, "回答用时", r"^回答用时 0\.\d\d 秒 一半的回答快于此；95% 快于 [12]\.\d\d 秒")
    says(page, "token", r"^token 600 输入 480，输出 120")
    says(page, "渠道", r"公众号 75% 小程序 25%")
    says(page, "用户评价", r"^用户评价 50% .*赞 1 踩 1")
    says(page, "过滤词命中", r"^过滤词命中 2 .*打码 1 拦截 1")
    says(page, "失败", r"^失败 1 占 25.0% 模型超时 1$")
    says(
        page,
        "公众号送达",
        r"^公众号送达 3 .*第 1 次送达就答上 1 第 2 次送达答上 1 第 3 次送达答上 1 用客服消息推送 1",
    )
    says(page, "公众号送达", r"还有后文没看 1 一直没取 1$")
    page.get_by_label("小程序", exact=True).check()
    says(page, "提问", r"^提问 1 100.0%")
    assert page.get_by_role("heading", name="公众号送达").count() == 0
    page.get_by_label("控制台", exact=True).check()
    says(page, "提问", r"^提问 1 ")
    page.get_by_label("全部用户", exact=True).check()
    for stretch, turns in (("近 30 天", 5), ("近 12 周", 5), ("近 12 个月", 5), ("今天", 0)):
        page.get_by_label(stretch, exact=True).check()
        if turns:
            says(page, "提问", rf"^提问 {turns} ")
        else:
            page.get_by_text("这段时间还没有人提问。").wait_for()


def test_today_is_told_by_the_hour_and_counts_people_once(office: Office, enter: Enter) -> None:
    someone = made.user(office.database)
    made.turn(office.database, someone, "刚才", ago=1000)
    made.turn(office.database, someone, "又一次", ago=500)
    page = board(enter("小陈", again=True))
    page.get_by_label("今天", exact=True).check()
    says(page, "提问", r"^提问 2 .* 0 点")
    says(page, "用户", r"^用户 1 平均每人问 2.0 次")


def test_charts_tell_what_they_draw_and_take_names_as_text() -> None:
    drawn = charts.lines([("一半", [1, None, 3, 4]), ("<b>多数</b>", [2, None, None, 8])], list("甲乙丙丁"), str)
    assert drawn.count("<polyline") == 4  # each line has a gap, and a point alone is drawn too
    assert "&lt;b&gt;多数&lt;/b&gt;" in drawn and "<b>多数" not in drawn
    assert 'height:50.0%" title="&lt;i&gt;：5"' in charts.bars([5, 10], ["<i>", "乙"], str)
    assert charts.share([("甲", 0)]) == "" and charts.bars([], [], str)
    assert "width:25.00%" in charts.share([("甲", 1), ("乙", 3)])
