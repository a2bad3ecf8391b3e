"""Lists read page by page: there and back, and of two events that overlap the later one counts."""

from typing import Any

from admin.paging import Desk, Page


def test_pages_lead_to_older_ones_and_back() -> None:
    first = Page("退款", last=50)
    second = first.older()
    assert (second.below, second.wanted) == (50, "退款")
    assert second.newer().below is None
    assert Page("空").older() == Page("空")  # nothing is there, and nothing older


def test_what_was_overtaken_is_not_shown() -> None:
    desk = Desk("全部")

    def slow(page: Page[str]) -> tuple[int | None, list[Any]]:
        assert desk.show(Page("退款"), lambda page: (7, ["退款的行"])) == ["退款的行"]
        return 3, ["全部的行"]

    assert desk.show(desk.page, slow) != ["全部的行"]
    assert desk.page == Page("退款", last=7)
