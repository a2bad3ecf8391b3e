"""待处理: what waits for somebody is counted, read, and closed once."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from core.store import complaints, ratings, staff, turns
from core.tables import ComplaintRow
from tests.console import made
from tests.console.conftest import Office, handlers, operations, queue_join, told
from tests.console.test_logs import EVIL, ZONE
from tests.server import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

Enter = Callable[..., Any]


@pytest.fixture(autouse=True)
def empty(office: Office) -> None:
    made.clear(office.database)


def report(office: Office, question: str, reason: str = "内容不实") -> int:
    """A complaint about a turn with this question; the turn's id."""
    turn = made.turn(office.database, made.user(office.database), question, f"{question}的回答")
    row = office.database.read(turns.get, turn)
    office.database.write(complaints.report, row.user_id, row, reason, channel="miniprogram", timezone=ZONE)
    return turn


def entry(office: Office, turn: int) -> Any:
    query = select(ComplaintRow.__table__).where(ComplaintRow.turn_id == turn)
    return office.database.read(lambda connection: connection.execute(query).one())


def queue(page: "Page", expected: list[str]) -> "Page":
    """Open the tab, or its list anew where it was open before: it has entries about these questions."""
    page.get_by_role("tab", name="运行").click()
    page.get_by_role("tab", name="待处理").click()
    page.locator("#queue .pick, #queue .empty, #entry .title").locator("visible=true").first.wait_for()
    back = page.get_by_role("button", name="返回列表")
    if back.count():
        back.click()
    shown(page, expected)
    return page


def shown(page: "Page", expected: list[str]) -> None:
    questions = page.locator("#queue .asked-line")
    wait_until(lambda: questions.all_inner_texts() == expected, what=f"{expected}, not {questions.all_inner_texts()}")


def head(page: "Page", name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).wait_for()


def test_every_kind_is_listed_the_newest_first_and_counted(office: Office, enter: Enter) -> None:
    database = office.database
    report(office, "被投诉的")
    disliked = made.turn(database, made.user(database), "被踩的")
    row = database.read(turns.get, disliked)
    database.write(ratings.rate, row, "down", "没用", ZONE)
    doubtful = made.turn(database, made.user(database), "可疑的")
    database.write(complaints.ask_for_review, doubtful, "微信建议复核", ZONE)
    hits = [{"word": "坏词", "action": "block", "start": 0, "end": 2, "in": "answer"}]
    blocked = made.turn(database, made.user(database), "被拦的", status="blocked", hits=hits)
    database.write(complaints.note_blocked, blocked, ZONE)

    page = enter("小陈")
    head(page, "待处理（4）")
    queue(page, ["被拦的", "可疑的", "被踩的", "被投诉的"])
    for kind, question, reason in (
        ("投诉 1", "被投诉的", "内容不实"),
        ("差评 1", "被踩的", "没用"),
        ("待复核 1", "可疑的", "微信建议复核"),
        ("拦截 1", "被拦的", "坏词"),
    ):
        page.get_by_label(kind, exact=True).check()
        shown(page, [question])
        assert reason in page.locator("#queue").inner_text()
    page.get_by_label("已处理", exact=True).check()
    page.get_by_text("还没有处理过的。").wait_for()


def test_a_viewer_reads_and_closes_nothing(office: Office, enter: Enter) -> None:
    turn = report(office, "只能看的投诉")
    page = queue(enter("小陈"), ["只能看的投诉"])
    page.locator("#queue .pick").click()
    page.locator("#entry .bubble").first.wait_for()
    assert page.get_by_role("button", name="处理完成").count() == 0
    number, inputs = handlers(office)["editor__Queue_close"]
    answer = queue_join(office, "小陈", number, inputs)
    assert answer["output"]["error"] == "你的账号没有这个权限。"
    assert entry(office, turn).state == "open"


def test_what_users_write_stays_text(office: Office, enter: Enter) -> None:
    turn = report(office, EVIL, EVIL)
    page = queue(enter("小李", again=True), [EVIL])
    page.locator("#queue .pick").click()
    page.locator("#entry .asked .bubble").wait_for()
    assert page.locator("#entry .asked .bubble").inner_text() == EVIL
    assert page.locator("#entry .answered .bubble").inner_text() == f"{EVIL}的回答"
    assert EVIL in page.locator("#entry .pairs").inner_text()
    assert page.locator("#queue img, #entry img, #entry script").count() == 0
    assert entry(office, turn).reason == EVIL


def test_a_complaint_about_the_service_has_no_turn(office: Office, enter: Enter) -> None:
    someone = made.user(office.database)
    office.database.write(complaints.report, someone, None, "打不开页面", channel="miniprogram", timezone=ZONE)
    page = queue(enter("小李", again=True), ["关于整个服务"])
    page.locator("#queue .pick").click()
    page.locator("#entry").get_by_text("打不开页面").wait_for()
    assert page.get_by_role("button", name="看完整对话").count() == 0


def test_the_whole_conversation_is_one_click_away(office: Office, enter: Enter) -> None:
    report(office, "对话在哪")
    page = queue(enter("小李", again=True), ["对话在哪"])
    page.locator("#queue .pick").click()
    page.get_by_role("button", name="看完整对话").click()
    page.locator("#transcript .chosen", has_text="对话在哪").wait_for()
    assert page.get_by_role("tab", selected=True).inner_text() == "日志"


def test_who_comes_second_is_told_who_was_faster(office: Office, enter: Enter) -> None:
    turn, noted = report(office, "两个人都想处理的"), operations(office, "处理待办")
    page = queue(enter("小李", again=True), ["两个人都想处理的"])
    page.locator("#queue .pick").click()
    page.get_by_label("怎么处理的").fill("我来")
    assert office.database.write(complaints.close, entry(office, turn).id, "王店长", "我更快")
    page.get_by_role("button", name="处理完成").click()
    page.locator(".toast-wrap").get_by_text(re.compile(r"王店长 .*已经处理了这一条")).wait_for()
    page.locator("#entry").get_by_text("王店长", exact=False).first.wait_for()
    assert (entry(office, turn).closed_by, entry(office, turn).note) == ("王店长", "我更快")
    assert operations(office, "处理待办") == noted
    head(page, "待处理")


def test_an_entry_is_closed_with_a_note(office: Office, enter: Enter) -> None:
    report(office, "先来的投诉")
    turn = report(office, "后来的投诉", "态度不好")
    page = queue(enter("小李", again=True), ["后来的投诉", "先来的投诉"])
    page.locator("#queue .pick", has_text="后来的投诉").click()
    copy = page.locator("#entry")
    for text in ("后来的投诉的回答", "态度不好", entry(office, turn).receipt, "小程序"):
        copy.get_by_text(text).first.wait_for()
    page.get_by_label("怎么处理的").fill("已道歉，并改了提示词")
    page.get_by_role("button", name="处理完成").click()
    told(page, "已标为处理完成。")
    shown(page, ["先来的投诉"])
    head(page, "待处理（1）")
    row = entry(office, turn)
    assert (row.state, row.closed_by, row.note) == ("done", "小李", "已道歉，并改了提示词")
    done = office.database.read(staff.operations, 1)[0]
    assert (done.staff, done.action, done.target) == ("小李", "处理待办", f"投诉 {row.receipt}")
    page.get_by_label("已处理", exact=True).check()
    page.locator("#queue .pick", has_text="后来的投诉").click()
    copy.get_by_text("已道歉，并改了提示词").wait_for()
    assert page.get_by_role("button", name="处理完成").count() == 0
