"""词库: words are found, added by the thousand, changed, deleted, and tried against a text."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from core.store import content
from core.store.content import Entry, WordQuery
from tests.console.conftest import Office, go, operations, told

if TYPE_CHECKING:
    from playwright.sync_api import Locator

Enter = Callable[..., Any]


@pytest.fixture(autouse=True)
def _words_as_they_were(office: Office) -> Iterator[None]:
    before, _ = office.database.read(content.word_page, WordQuery(), 100)
    yield
    office.database.write(content.delete_words, WordQuery())
    office.database.write(
        content.import_words, [Entry(row.text, row.action, row.category) for row in reversed(before)]
    )


def words(office: Office, **query: Any) -> dict[str, tuple[str, str]]:
    rows, _ = office.database.read(content.word_page, WordQuery(**query), 10_000)
    return {row.text: (row.action, row.category) for row in rows}


def find(tab: "Locator", text: str, count: int) -> None:
    tab.get_by_label("找词").fill(text)
    tab.get_by_text(f"共 {count:,} 个").wait_for()


def tick(tab: "Locator", *names: str) -> None:
    """Choose these words to change or delete, once nothing else is open."""
    tab.locator(".title").wait_for(state="hidden")
    for name in names:
        tab.locator("label.pick", has_text=name).locator("input").check()
    tab.locator("[data-go]").click()
    tab.get_by_role("button", name="删除…").wait_for()


def test_words_are_pasted_found_changed_and_deleted(office: Office, enter: Enter) -> None:
    page = enter("小李")
    tab = go(page, "安全")
    tab.get_by_text("共 4 个").wait_for()
    tab.get_by_label("加词").fill("赌博,拦截,法律\n代开发票\n<b>粗</b>\n打架,打人")
    tab.get_by_role("button", name="添加").click()
    tab.get_by_text("新增 3 个，改动 0 个，原来就有 0 个，跳过 1 行").wait_for()
    tab.get_by_text("第二列“打人”不是打码、拦截或放行").wait_for()
    assert words(office)["赌博"] == ("block", "法律")
    entry = operations(office, "添加词")[0]
    assert entry.detail == "赌博、代开发票、<b>粗</b>（新增 3，改动 0，已有 0，跳过 1）"
    tab.locator(".word", has_text="<b>粗</b>").wait_for()  # as text

    find(tab, "发", 1)
    tick(tab, "代开发票")
    tab.get_by_text("“代开发票”").wait_for()
    tab.get_by_label("类别", exact=True).last.fill("广告")
    tab.get_by_role("radio", name="拦截", exact=True).check()
    tab.get_by_role("button", name="保存").click()
    told(page, "改了 1 个词")
    assert words(office)["代开发票"] == ("block", "广告")
    assert operations(office, "修改词")[0].detail == "“代开发票”：改为拦截，类别 广告"

    find(tab, "", 7)
    tick(tab, "代开发票", "赌博")
    tab.get_by_role("button", name="删除…").click()
    tab.get_by_text("删除 2 个词（代开发票、赌博）？").wait_for()
    assert "赌博" in words(office)
    tab.get_by_role("button", name="确认删除").click()
    told(page, "删除了 2 个词")
    assert not {"代开发票", "赌博"} & words(office).keys()
    assert "代开发票、赌博" in operations(office, "删除词")[0].detail


def list_file(path: Path, encoding: str, name: str, count: int) -> Path:
    """A file with so many words of this name."""
    lines = "\n".join(f"{name}{n:04},拦截,导入" for n in range(count))
    path.write_text(f"词,动作,类别\n{lines}", encoding=encoding)
    return path


def test_thousands_are_imported_from_a_file_and_changed_by_what_they_share(
    office: Office, enter: Enter, tmp_path: Path
) -> None:
    page = enter("小李", again=True)
    tab = go(page, "安全")
    file = tab.locator("input[type=file]")
    file.set_input_files(list_file(tmp_path / "词库.csv", "utf-8-sig", "词语", 3000))
    tab.get_by_text("新增 3,000 个，改动 0 个，原来就有 0 个").wait_for()
    detail = operations(office, "导入词")[0].detail
    assert "词语0000、词语0001" in detail and "新增 3000" in detail and len(detail) < 100
    find(tab, "词语00", 100)
    tab.get_by_role("button", name="下一页").click()
    tab.get_by_text("第 51–100 个").wait_for()
    assert tab.get_by_role("button", name="下一页").is_disabled()
    tab.get_by_role("button", name="修改或删除全部找到的").click()
    tab.get_by_text("100 个词（词语0099").wait_for()
    tab.get_by_role("radio", name="打码", exact=True).check()
    tab.get_by_role("button", name="保存").click()
    told(page, "改了 100 个词")
    assert set(words(office, search="词语00").values()) == {("mask", "导入")}
    assert words(office)["词语0100"] == ("block", "导入")

    file.set_input_files(list_file(tmp_path / "国标.csv", "gbk", "汉字", 2000))
    tab.get_by_text("新增 2,000 个，改动 0 个，原来就有 0 个").wait_for()
    assert words(office)["汉字1999"] == ("block", "导入")
    find(tab, "汉字", 2000)

    zipped = tmp_path / "压缩.csv"
    zipped.write_bytes(b"PK\x03\x04\0\0\0")
    file.set_input_files(zipped)
    told(page, "这个文件不是文本")
    find(tab, "", 5004)


def test_of_a_hundred_thousand_words_a_page_is_shown_and_each_is_found(office: Office, enter: Enter) -> None:
    many = [Entry(f"词语{number:06}", "mask", f"类{number % 7}") for number in range(100_000)]
    office.database.write(content.import_words, many)
    page = enter("小李", again=True)
    tab = go(page, "运行", "安全")
    tab.get_by_text("共 100,004 个").wait_for()
    find(tab, "99999", 1)
    for query, offset in ((WordQuery(search="099"), 0), (WordQuery(), 99_000), (WordQuery(category="类3"), 5000)):
        rows, _ = office.database.read(content.word_page, query, 50, offset)
        assert len(rows) == 50


def test_a_text_is_tried_against_the_words_as_they_are_now(office: Office, enter: Enter) -> None:
    office.database.write(
        content.import_words, [Entry("赌博", "block"), Entry("香烟", "mask"), Entry("反赌博", "allow")]
    )
    page = enter("小陈")
    tab = go(page, "安全")
    box, button = tab.get_by_label("试一试"), tab.get_by_role("button", name="试一试")
    box.fill("香烟<b>和赌 博、反赌博")
    button.click()
    tab.locator("mark").first.wait_for()
    assert tab.locator("mark.mask").all_inner_texts() == ["香烟"]
    assert tab.locator("mark.block").all_inner_texts() == ["赌 博"]
    tab.get_by_text("会被拒绝，因为有“赌博”").wait_for()
    assert tab.locator(".text").last.inner_text().startswith("**<b>和")
    assert "回答到这里中断" in tab.locator(".text").last.inner_text()
    box.fill("香烟和反赌博")
    button.click()
    tab.get_by_text("可以提问").wait_for()
    assert tab.locator(".text").last.inner_text() == "**和反赌博"


def test_a_viewer_finds_words_but_has_nothing_to_change_them(office: Office, enter: Enter) -> None:
    page = enter("小陈", again=True)
    tab = go(page, "安全")
    find(tab, "打码", 1)
    assert tab.locator(".pick").count() == 1
    assert not tab.locator("input[type=checkbox]").count()
    for name in ("添加", "删除…", "修改或删除全部找到的…"):
        assert not tab.get_by_role("button", name=name).is_visible()
    assert not page.get_by_role("tab", name="用户").is_visible()
    assert not page.get_by_role("tab", name="员工").is_visible()
