"""操作记录: everybody can read who changed what."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.store import staff
from tests.console.conftest import Office, go

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_what_staff_did_can_be_read_and_paged(office: Office, enter: "Callable[..., Page]") -> None:
    for number in range(60):
        office.database.write(staff.log, "王店长", "10.0.0.8", "发布提示词", f"第 {number} 版", "<b>小程序</b>")
    page = enter("小陈")
    page.get_by_role("tab", name="操作记录").click()
    targets = page.locator("table.plain td:last-child")
    targets.first.wait_for()
    newer, older = page.get_by_role("button", name="回到最新"), page.get_by_role("button", name="更早的")
    older.wait_for()
    assert not newer.is_visible()
    assert "<b>小程序</b>" in targets.first.inner_text()  # as text, not as HTML
    newest = targets.all_inner_texts()
    assert len(newest) == 50
    older.click()
    page.wait_for_function("first => !document.body.innerText.includes(first)", arg=newest[0].split("\n")[0] + "\n")
    assert set(targets.all_inner_texts()).isdisjoint(newest)
    while older.is_visible():  # until the end, where nothing more is offered
        shown = targets.first.inner_text()
        older.click()
        page.wait_for_function(
            "shown => document.querySelector('table.plain td:last-child').innerText != shown", arg=shown
        )
    newer.click()
    page.wait_for_function("first => document.body.innerText.includes(first)", arg=newest[0].split("\n")[0] + "\n")


def test_times_and_names_stay_whole_on_a_phone(office: Office, enter: "Callable[..., Page]") -> None:
    office.database.write(staff.log, "王店长", "10.0.0.8", "停用用户", "用户 251549477018433163", "多次发广告" * 20)
    page = enter("小陈", 390, 844, again=True)
    go(page, "运行", "操作记录")
    page.get_by_text("多次发广告").first.wait_for()
    page.locator("table.plain .whole").first.wait_for()
    heights = "() => [...document.querySelectorAll('table.plain .whole')].map(one => one.getClientRects().length)"
    assert set(page.evaluate(heights)) == {1}
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
