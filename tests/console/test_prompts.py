"""提示词: versions are written, compared, published and rolled back, also by two people at once."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from admin.diff import diff
from core.live import LiveContent
from core.store import content
from tests.console.conftest import Office, go, handlers, operations, queue_join, told

if TYPE_CHECKING:
    from playwright.sync_api import Locator

Enter = Callable[..., Any]
EVIL = "<img src=x onerror=alert(1)> ${1+1} {{value}}"


@pytest.fixture(autouse=True)
def _live_as_it_was(office: Office) -> Any:
    before = {channel: row.id for channel, row in office.database.read(content.live_prompts).items()}
    yield
    for channel, number in before.items():
        office.database.write(content.publish_prompt, number, [channel])


def add(office: Office, text: str, facts: str = "", note: str = "") -> int:
    return office.database.write(content.add_prompt, text, facts, note, "小李")


def live(office: Office) -> dict[str, int]:
    return {channel: row.id for channel, row in office.database.read(content.live_prompts).items()}


def show(tab: "Locator", number: int) -> None:
    tab.locator(f"[data-pick='{number}']").click()
    tab.locator("h3.title", has_text=f"第 {number} 版").wait_for()


def begin(tab: "Locator", number: int) -> "Locator":
    """Begin a new version from this one; the box of its text."""
    from playwright.sync_api import expect

    show(tab, number)
    tab.get_by_role("button", name="以这一版为底稿").click()
    tab.get_by_text(f"在第 {number} 版的基础上写新版本").wait_for()
    box = tab.get_by_label("系统提示词")
    expect(box).not_to_have_value("")
    return box


def test_a_version_is_written_from_another_compared_published_and_rolled_back(office: Office, enter: Enter) -> None:
    first = add(office, f"你是客服。\n{EVIL}\n电话 1234。", "营业到 22 点", f"旧版 {EVIL}")
    office.database.write(content.publish_prompt, first, content.CHANNELS)
    process = LiveContent(office.database)  # as of any process that answers users
    page = enter("小李")
    tab = go(page, "提示词")
    show(tab, first)
    assert EVIL in tab.locator(".text").first.inner_text()  # as text, not as HTML
    box = begin(tab, first)
    box.fill(f"你是客服小禾。\n{EVIL}\n电话 5678。")
    tab.get_by_label("备注").fill("换了电话")
    tab.get_by_text("合计约").last.wait_for()
    tab.get_by_role("button", name="保存为新版本").click()
    told(page, "还没有上线")
    second = office.database.read(content.prompt_versions)[0]
    assert (second.author, second.note, second.facts) == ("小李", "换了电话", "营业到 22 点")
    assert live(office) == dict.fromkeys(content.CHANNELS, first)
    assert not box.is_visible()
    tab.locator("h3.title", has_text=f"第 {second.id} 版").wait_for()

    tab.get_by_label("和哪一版比较").click()
    page.get_by_role("option", name=f"第 {first} 版").click()
    tab.get_by_role("button", name="比较", exact=True).click()
    tab.locator(".diff").wait_for()
    assert tab.locator(".diff ins").all_inner_texts() == ["小禾", "5678"]
    assert tab.locator(".diff del").all_inner_texts() == ["1234"]

    tab.get_by_label("小程序", exact=True).check()
    tab.get_by_role("button", name="设为线上…").click()
    tab.get_by_text(f"小程序（现在是第 {first} 版）").wait_for()
    assert live(office)["miniprogram"] == first  # nothing before it is confirmed
    tab.get_by_role("button", name="确认发布").click()
    told(page, "几秒内")
    assert live(office) == {"miniprogram": second.id, "official": first}
    began = time.monotonic()
    process.refresh()  # as every tick does
    assert process.prompt("miniprogram").version == second.id and time.monotonic() - began < 5
    assert tab.locator(f"[data-pick='{second.id}']").inner_text().count("线上·小程序") == 1

    show(tab, first)
    tab.get_by_label("小程序和公众号").check()
    tab.get_by_role("button", name="设为线上…").click()
    tab.get_by_role("button", name="确认发布").click()
    told(page, "几秒内")
    assert live(office) == dict.fromkeys(content.CHANNELS, first)
    entry = operations(office, "发布提示词")[0]
    assert (entry.staff, entry.target) == ("小李", f"第 {first} 版到小程序和公众号")
    assert f"小程序原来是第 {second.id} 版" in entry.detail
    assert "换了电话" in operations(office, "写提示词")[0].detail


def test_who_publishes_over_a_label_that_has_moved_is_warned(office: Office, enter: Enter) -> None:
    mine, theirs = add(office, "我的"), add(office, "他们的")
    page = enter("小李", again=True)
    tab = go(page, "运行", "提示词")
    show(tab, mine)
    office.database.write(content.publish_prompt, theirs, ["miniprogram"])
    tab.get_by_role("button", name="设为线上…").click()
    tab.get_by_role("button", name="确认发布").click()
    told(page, "别人刚刚换过线上版本")
    assert live(office)["miniprogram"] == theirs
    tab.locator(f"[data-pick='{theirs}']", has_text="线上·小程序").wait_for()  # what they see is new
    tab.get_by_role("button", name="设为线上…").click()
    tab.get_by_text(f"小程序（现在是第 {theirs} 版）").wait_for()
    tab.get_by_role("button", name="确认发布").click()
    told(page, "几秒内")
    assert live(office)["miniprogram"] == mine


def test_two_drafts_of_one_version_become_two_versions(office: Office, enter: Enter) -> None:
    base = add(office, "底稿")
    page = enter("小李", again=True)
    tab = go(page, "运行", "提示词")
    begin(tab, base).fill("小李的")
    write(office, "王店长", base, "店长的")
    tab.get_by_role("button", name="保存为新版本").click()
    told(page, "还没有上线")
    newest = office.database.read(content.prompt_versions, 2)
    assert [(one.author, one.text) for one in newest] == [("小李", "小李的"), ("王店长", "店长的")]
    assert office.database.read(content.prompt_version, base).text == "底稿"


def write(office: Office, name: str, base: int, text: str) -> None:
    """Write a new version from another in a page of one's own."""
    known, session = handlers(office), uuid4().hex
    for handler, given, event in (
        ("viewer__Prompts_show", None, {"pick": str(base)}),
        ("editor__Prompts_edit", [None, None, "", ""], None),
        ("editor__Prompts_save", [text, "", "", None], None),
    ):
        number, values = known[handler]
        assert queue_join(office, name, number, given or values, event=event, session=session)["success"]


def test_a_draft_is_not_lost_by_a_click_on_another_version(office: Office, enter: Enter) -> None:
    one, other = add(office, "一"), add(office, "二")
    page = enter("小李", again=True)
    tab = go(page, "运行", "提示词")
    begin(tab, one).fill("写了很久的草稿")
    show(tab, other)
    tab.get_by_role("button", name="以这一版为底稿").click()
    told(page, f"从第 {one} 版改写的草稿还没有保存")
    assert tab.get_by_label("系统提示词").input_value() == "写了很久的草稿"
    tab.get_by_role("button", name="放弃").click()
    tab.get_by_role("button", name="确认").click()
    tab.get_by_label("系统提示词").wait_for(state="hidden")
    assert begin(tab, other).input_value() == "二"


def test_what_is_too_long_is_told_and_too_many_facts_are_not_saved(office: Office, enter: Enter) -> None:
    base = add(office, "底稿")
    page = enter("小李", again=True)
    tab = go(page, "运行", "提示词")
    box = begin(tab, base)
    box.fill("长" * 9000)
    tab.get_by_text("几乎放不下用户的问题").wait_for()
    box.fill("短")
    tab.get_by_text("几乎放不下用户的问题").wait_for(state="hidden")
    tab.get_by_label("品牌资料").fill("多" * (content.MAX_FACTS_CHARS + 1))
    tab.get_by_role("button", name="保存为新版本").click()
    told(page, f"品牌资料最多 {content.MAX_FACTS_CHARS} 字")
    assert office.database.read(content.prompt_versions, 1)[0].id == base


def test_a_viewer_reads_and_compares_but_changes_nothing(office: Office, enter: Enter) -> None:
    number = add(office, "底稿", "资料")
    page = enter("小陈")
    tab = go(page, "提示词")
    show(tab, number)
    tab.get_by_text("资料").last.wait_for()
    for name in ("在试聊中打开", "以这一版为底稿", "设为线上…", "保存为新版本"):
        assert not tab.get_by_role("button", name=name).is_visible()


def test_a_difference_shows_lines_words_and_what_was_left_out() -> None:
    old = "\n".join(["开头", *(f"第 {number} 行" for number in range(9)), "电话 1234", "", "<b>"])
    new = old.replace("1234", "5678").replace("<b>", "<i>\n结尾")
    shown = diff(old, new)
    assert shown.count('class="went"') == 2 and shown.count('class="came"') == 3
    assert "<del>1234</del>" in shown and "<ins>5678</ins>" in shown
    assert "8 行没有变化" in shown
    assert "<b>" not in shown and "&lt;<del>b</del>&gt;" in shown
    assert diff("一样", "一样") == ""
    assert diff("", "新的") == '<div class="diff"><div class="came">新的</div></div>'


def test_a_difference_of_texts_that_are_one_long_line_is_quick() -> None:
    began = time.monotonic()
    assert "del" not in diff("甲乙丙丁" * 5000, "甲乙丁丙" * 5000)
    assert time.monotonic() - began < 1
