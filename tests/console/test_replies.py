"""关键词回复, 欢迎语 and 推荐问题: what staff say themselves."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from core.store import content
from tests.console.conftest import Office, go, operations, told

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Enter = Callable[..., Any]


@pytest.fixture(autouse=True)
def _as_it_was(office: Office) -> Iterator[None]:
    options = office.database.read(content.options)
    yield
    for row in office.database.read(content.every_keyword_reply):
        office.database.write(content.remove_keyword_reply, row.id)
    for name in ("welcome", "suggestions", "help"):
        office.database.write(content.set_option, name, options.get(name, ""))


def replies(office: Office) -> list[tuple[Any, ...]]:
    rows = office.database.read(content.every_keyword_reply)
    return [(row.keyword, row.match, row.reply, row.enabled, row.priority) for row in rows]


@pytest.fixture(autouse=True)
def _none_of_others(office: Office) -> None:
    """The office is shared with other files."""
    for row in office.database.read(content.every_keyword_reply):
        office.database.write(content.remove_keyword_reply, row.id)


def keyword_replies(page: "Page") -> "Locator":
    """Open the tab; anew, where it was open before."""
    return go(page, "安全", "词库", "关键词回复")


def answers(tab: "Locator", text: str, told: str) -> None:
    tab.get_by_label("试一试").fill(text)
    tab.get_by_role("button", name="哪一条会回复").click()
    tab.get_by_text(told).wait_for()


def test_replies_are_added_tried_changed_switched_off_and_deleted(office: Office, enter: Enter) -> None:
    office.database.write(content.add_keyword_reply, "营业", "contains", "优先级低的", 0, "王店长")
    page = enter("小李")
    tab = go(page, "安全", "关键词回复")
    tab.get_by_role("button", name="加一条回复").click()
    tab.get_by_text("加一条回复").last.wait_for()
    tab.get_by_label("关键词").fill("营业时间")
    tab.get_by_label("回复", exact=True).fill("每天 9 点 <b>开门</b>")
    tab.get_by_label("优先级").fill("5")
    tab.get_by_role("button", name="保存").click()
    told(page, "几秒内生效")
    assert replies(office)[0] == ("营业时间", "contains", "每天 9 点 <b>开门</b>", True, 5)
    assert operations(office, "加关键词回复")[0].target == "营业时间"
    answers(tab, "请问营业时间？", "“营业时间”会回复")
    assert tab.locator(".text").inner_text() == "每天 9 点 <b>开门</b>"
    answers(tab, "你好", "会由模型回答")

    tab.locator(".title").wait_for(state="hidden")
    tab.locator(".pick", has_text="每天 9 点").click()
    tab.get_by_text("修改“营业时间”").wait_for()
    tab.get_by_role("checkbox", name="启用").uncheck()
    tab.get_by_role("button", name="保存").click()
    told(page, "几秒内生效")
    assert replies(office)[0][3] is False
    answers(tab, "请问营业时间？", "“营业”会回复")

    tab.locator(".title").wait_for(state="hidden")
    tab.locator(".pick", has_text="每天 9 点").click()
    tab.get_by_text("修改“营业时间”").wait_for()
    tab.get_by_role("button", name="删除…").click()
    tab.get_by_role("button", name="确认删除").click()
    told(page, "几秒内生效")
    assert [one[0] for one in replies(office)] == ["营业"]


def test_who_saves_a_reply_that_has_changed_meanwhile_is_told(office: Office, enter: Enter) -> None:
    number = office.database.write(content.add_keyword_reply, "地址", "exact", "南京路")
    page = enter("小李", again=True)
    tab = keyword_replies(page)
    tab.locator(".pick", has_text="地址").click()
    tab.get_by_text("修改“地址”").wait_for()
    seen = office.database.read(content.keyword_reply_row, number)
    office.database.write(content.change_keyword_reply, seen, reply="北京路")
    tab.get_by_label("回复", exact=True).fill("上海路")
    tab.get_by_role("button", name="保存").click()
    told(page, "别人刚刚改过“地址”")
    assert replies(office)[0][2] == "北京路"


def test_a_reply_that_does_not_fit_one_message_is_not_saved(office: Office, enter: Enter) -> None:
    page = enter("小李", again=True)
    tab = keyword_replies(page)
    tab.get_by_role("button", name="加一条回复").click()
    tab.locator(".title", has_text="加一条回复").wait_for()
    tab.get_by_label("关键词").fill("长")
    tab.get_by_label("回复", exact=True).fill("长" * 700)
    tab.get_by_role("button", name="保存").click()
    told(page, "回复最多约 666 字")
    assert replies(office) == []


def test_the_welcome_text_is_previewed_and_saved_unless_it_has_changed(office: Office, enter: Enter) -> None:
    from playwright.sync_api import expect

    page = enter("小李", again=True)
    tab = go(page, "安全", "欢迎语")
    welcome = tab.get_by_label("欢迎语")
    expect(welcome).not_to_have_value("")
    welcome.fill("欢迎来到青禾书店 <b>")
    tab.get_by_label("推荐问题").fill("几点开门？\n\n怎么去？\n几点开门？")
    tab.locator(".phone .chips span", has_text="怎么去？").wait_for()
    assert tab.locator(".phone .chips span").all_inner_texts() == ["几点开门？", "怎么去？"]
    assert tab.locator(".phone p").inner_text() == "欢迎来到青禾书店 <b>"
    tab.get_by_role("button", name="保存").click()
    told(page, "几秒内在小程序和公众号生效")
    options = office.database.read(content.options)
    assert (options["welcome"], options["suggestions"]) == ("欢迎来到青禾书店 <b>", ["几点开门？", "怎么去？"])
    assert operations(office, "改欢迎语")[0].staff == "小李"

    office.database.write(content.set_option, "welcome", "别人写的")
    welcome.fill("我写的")
    tab.get_by_role("button", name="保存").click()
    told(page, "别人刚刚改过")
    assert office.database.read(content.options)["welcome"] == "别人写的"
    welcome.fill("")
    tab.get_by_role("button", name="保存").click()
    told(page, "欢迎语是空的")
    tab.get_by_label("推荐问题").fill("\n".join("一二三四五六"))
    welcome.fill("好")
    tab.get_by_role("button", name="保存").click()
    told(page, "推荐问题最多 5 个")


def test_on_a_phone_what_is_opened_comes_into_view(office: Office, enter: Enter) -> None:
    for number in range(9):
        office.database.write(content.add_keyword_reply, f"词 {number}", "contains", "回复", 0, "王店长")
    page = enter("小李", 390, 844, again=True)
    tab = keyword_replies(page)
    for row, title in ((".pick >> nth=0", "修改“词"), (".pick >> nth=1", "修改“词")):
        page.evaluate("scrollTo(0, 0)")
        tab.locator(row).click()
        tab.locator(".title", has_text=title).wait_for()
        page.wait_for_function("() => document.querySelector('.side .title').getBoundingClientRect().top < 430")
        tab.get_by_role("button", name="关闭").click()
        tab.locator(".title").wait_for(state="hidden")


def test_a_viewer_reads_both_and_tries_but_cannot_change_them(office: Office, enter: Enter) -> None:
    office.database.write(content.add_keyword_reply, "地址", "exact", "南京路")
    page = enter("小陈")
    tab = go(page, "安全", "关键词回复")
    answers(tab, "地址", "“地址”会回复")
    assert tab.locator(".pick.still").count() == 1
    assert not tab.get_by_role("button", name="加一条回复").is_visible()
    tab = go(page, "欢迎语")
    tab.locator(".phone").first.wait_for()
    assert tab.get_by_label("欢迎语").is_disabled()
    assert not tab.get_by_role("button", name="保存").is_visible()
