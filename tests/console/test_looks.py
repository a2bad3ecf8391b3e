"""Every tab, on a desk in the light and on a phone in the dark; pictures of them are in build/screenshots."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.store import complaints, reviews, turns
from tests.console import made
from tests.console.conftest import Office
from tests.server import ROOT

Enter = Callable[..., Any]
AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")
VIEWS = {
    "desk": {"width": 1440, "height": 900},
    "phone-dark": {"width": 390, "height": 844, "dark": True},
}


@pytest.mark.parametrize("view", VIEWS, scope="module")
def test_every_tab_can_be_read_and_tapped(office: Office, enter: Enter, view: str) -> None:
    page = enter("王店长", **VIEWS[view])
    pictures = ROOT / "build" / "screenshots" / "console"
    complaints = []
    tabs = page.locator("#tabs > .tab-wrapper button[role=tab], #tabs > div > div button[role=tab]")
    page.locator("#state .state-line").wait_for()
    for name in dict.fromkeys(tabs.all_inner_texts()):
        open_tab(page, name)
        page.screenshot(path=pictures / f"{view}-{name}.png", full_page=True)
        complaints += [f"{name}: {one}" for one in page.evaluate(AUDIT, view.startswith("phone"))]
    assert not complaints, "\n".join(complaints)


def open_tab(page: Any, name: str) -> None:
    """Open a tab, and wait until what it loads is there."""
    page.get_by_role("tab", name=re.compile(f"^{name}")).first.click()
    page.wait_for_load_state("load")
    page.wait_for_function("() => !document.querySelector('.generating, .pending')")


@pytest.mark.parametrize("view", VIEWS, scope="module")
def test_what_is_opened_from_a_list_can_be_read_and_tapped(office: Office, enter: Enter, view: str) -> None:
    """A turn in its conversation, an entry of the queue, and the dashboard with something to show."""
    database = office.database
    made.clear(database)
    someone = made.user(database)
    long = {"conversation_id": made.conversation(database, someone), "channel": "official", "rating": "down"}
    hits = [{"word": "打码词", "action": "mask", "start": 0, "end": 2, "in": "question"}]
    for number in (1, 2):
        turn = made.turn(database, someone, f"一个很长的问题{'啊' * 300}", "w" * 300, seq=number, hits=hits, **long)
        made.delivery(database, turn, "rest", arrivals=2, pushed=1)
    database.write(reviews.annotate, turn, "小李", note="批注", score=2, better_answer="x" * 300)
    row = database.read(turns.get, turn)
    database.write(complaints.report, someone, row, "理由" * 200, channel="official", timezone="Asia/Shanghai")

    page = enter("王店长", again=True, **VIEWS[view])
    pictures = ROOT / "build" / "screenshots" / "console"
    faults = []
    for name, row, there in (
        ("日志", "#log .pick", "#transcript .chosen"),
        ("待处理", "#queue .pick", "#entry .bubble"),
        ("看板", "", "#dashboard .card.wide"),
    ):
        open_tab(page, name)
        if row:
            page.locator(row).first.click()
        page.locator(there).first.wait_for()
        page.screenshot(path=pictures / f"{view}-{name}-inside.png", full_page=True)
        faults += [f"{name}: {one}" for one in page.evaluate(AUDIT, view.startswith("phone"))]
    assert not faults, "\n".join(faults)
