"""Fixtures of the console's tests: one console process and one window of a browser for all of them."""

import functools
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from sqlalchemy import delete

from core import migrate, passwords
from core.database import Database
from core.moderation import Word
from core.store import processes, staff
from core.tables import LoginFailureRow
from tests import stores
from tests.conftest import missing
from tests.databases import KIND, fresh_database
from tests.fakes import FakeCogito
from tests.miniprogram.builds import chromium
from tests.miniprogram.phone import FLAGS
from tests.server import Console

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page, Playwright

PASSWORD = "correct-horse-battery"
ROLES = {"王店长": "admin", "小李": "editor", "小陈": "viewer"}
MASKED, REFUSED = "打码词", "拦截词"
BUG = re.compile(r"a bug of ours|Traceback")


class Office:
    """A console with its database, its scripted model (`cogito`) and an account of each role."""

    def __init__(self, console: Console, database: Database, cogito: FakeCogito) -> None:
        self.console = console
        self.url = console.url
        self.database = database
        self.cogito = cogito
        self._read = 0

    def session(self, name: str) -> str:
        """The token of a new session of this account."""
        return self.database.write(staff.open_session, self.database.read(staff.get, name).id, 3600)

    def settle(self) -> None:
        """No bug is in the log."""
        news, self._read = self.console.log[self._read :], len(self.console.log)
        assert not BUG.search(news), news

    def overlook_bugs(self) -> None:
        """What the log tells up to now is what a test meant to provoke."""
        self._read = len(self.console.log)


@functools.cache
def hashed() -> str:
    """The password of all, hashed once: that is meant to take its time."""
    return passwords.hashed(PASSWORD)


def cookies(office: Office, name: str) -> dict[str, str]:
    """Of a browser in which this account has just logged in."""
    return {"console_session": office.session(name)}


@functools.cache
def handlers(office: Office) -> dict[str, tuple[int, list[Any]]]:
    """Every handler of the page by its name (`editor__Lane_ask`): its number, and what its inputs hold at first."""
    config = requests.get(f"{office.url}/config", cookies=cookies(office, "王店长"), timeout=10).json()
    values = {one["id"]: one["props"].get("value") for one in config["components"]}
    return {one["api_name"]: (one["id"], [values[key] for key in one["inputs"]]) for one in config["dependencies"]}


def queue_join(
    office: Office, name: str, number: int, data: list[Any], *, event: Any = None, session: str = ""
) -> dict[str, Any]:
    """Run a handler by a request written by hand, as this account; what the queue tells at its end."""
    return queue_joins(office, name, [(number, data)], event=event, session=session)[0]


def queue_joins(
    office: Office, name: str, calls: Iterable[tuple[int, list[Any]]], *, event: Any = None, session: str = ""
) -> list[dict[str, Any]]:
    """Run several handlers at once, and read in one stream what becomes of each."""
    given = {"cookies": cookies(office, name), "timeout": 30}
    session = session or uuid.uuid4().hex[:10]
    joined, told = [], {}
    for number, data in calls:
        body = {"data": data, "fn_index": number, "session_hash": session, "event_data": event}
        answer = requests.post(f"{office.url}/gradio_api/queue/join", json=body, **given)
        answer.raise_for_status()
        joined.append(answer.json()["event_id"])
    events = f"{office.url}/gradio_api/queue/data?session_hash={session}"
    with requests.get(events, stream=True, **given) as stream:
        for line in stream.iter_lines():
            message = json.loads(line[5:]) if line.startswith(b"data:") else {}
            if message.get("msg") == "process_completed":
                told[message["event_id"]] = message
            if told.keys() >= set(joined):
                return [told[one] for one in joined]
    raise AssertionError("the queue has told nothing")


@pytest.fixture(scope="session")
def _office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder: Path = tmp_path_factory.mktemp("office")
    with fresh_database(KIND, folder) as url, FakeCogito() as cogito:
        database = Database(url)
        migrate.upgrade(database)
        database.write(stores.set_words, [Word(MASKED), Word(REFUSED, "block")])
        for name, role in ROLES.items():
            database.write(staff.add, name, hashed(), role)
        written = database.url.render_as_string(hide_password=False)
        console = Console(
            folder, model_url=cogito.url, database_url=written, brand_name="青禾书店", model_api_key="sk-very-secret"
        )
        try:
            yield Office(console.wait_ready(), database, cogito)
            # It ends as it should: it takes leave of the other processes, and its exports go with it.
            assert console.stop() == 0, console.log[-2000:]
            assert database.read(processes.everyone) == []
            assert not list(folder.glob("data/export-*"))
        finally:
            console.stop()
            database.dispose()


@pytest.fixture
def office(_office: Office) -> Iterator[Office]:
    yield _office
    _office.database.write(lambda connection: connection.execute(delete(LoginFailureRow)))
    _office.cogito.release()
    _office.cogito.forget()
    _office.settle()


@pytest.fixture(scope="package")
def playwright() -> "Iterator[Playwright]":
    if chromium() is None:
        missing("there is no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


class Desk:
    """The window in which the console is open, used by test after test: opening it costs as much as a test. It has a
    profile on disk, where Chromium keeps Gradio's scripts compiled.
    """

    def __init__(self, window: "BrowserContext") -> None:
        self._window = window
        self.page = window.pages[0]
        self.open: object = None  # what the page shows: which file's tests opened it, for whom and how

    def log_in(self, office: Office, name: str) -> None:
        """This account has just logged in in this window."""
        token = office.session(name)
        self._window.add_cookies([{"name": "console_session", "value": token, "url": office.url}])

    def leave(self) -> None:
        """Nobody has logged in, and nothing is open."""
        self.page.goto("about:blank")
        self._window.clear_cookies()
        self.open = None


@pytest.fixture(scope="package")
def _desk(playwright: "Playwright", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    start = playwright.chromium.launch_persistent_context
    window = start(tmp_path_factory.mktemp("profile"), executable_path=chromium(), args=FLAGS)
    window.set_default_timeout(15_000)
    yield Desk(window)
    window.close()


@pytest.fixture
def desk(request: pytest.FixtureRequest, office: Office, _desk: Desk) -> Iterator[Desk]:
    """The window; errors of the page's scripts fail the test, and nobody goes on in a page of a test that failed."""
    faults: list[str] = []

    def fault(error: Any) -> None:
        faults.append(str(error))

    def outside(asked: Any) -> None:
        if not asked.url.startswith((office.url, "data:", "blob:")):
            faults.append(f"something is fetched from outside: {asked.url}")

    failed = request.session.testsfailed
    _desk.page.on("pageerror", fault)
    _desk.page.on("request", outside)
    yield _desk
    _desk.page.remove_listener("pageerror", fault)
    _desk.page.remove_listener("request", outside)
    if faults or request.session.testsfailed != failed:
        _desk.open = None
    assert faults == []


@pytest.fixture
def page(desk: Desk) -> "Page":
    """A page that nobody has logged in to."""
    desk.leave()
    return desk.page


@pytest.fixture
def enter(request: pytest.FixtureRequest, office: Office, desk: Desk) -> "Callable[..., Page]":
    """`enter("小李")` opens the console as this account.

    With `again`, it goes on in the page where the test before, of the same file, has left it: that costs a third of
    opening it. Where a tab is by then is up to that test; its own buttons bring it to where the next one begins.
    """

    def opened(
        name: str, width: int = 1440, height: int = 900, *, dark: bool = False, path: str = "", again: bool = False
    ) -> "Page":
        page, wanted = desk.page, (request.path, name, dark)
        page.set_viewport_size({"width": width, "height": height})
        desk.log_in(office, name)
        if again and desk.open == wanted and page.url == f"{office.url}/":
            put_away(page)
            return page
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.goto(office.url + path)
        page.wait_for_selector("#head")
        desk.open = wanted
        return page

    return opened


def panel(page: "Page") -> "Locator":
    """What the tab that is open shows (of tabs in tabs, the inner one)."""
    return page.locator("[role=tabpanel]:visible").last


def go(page: "Page", *tabs: str) -> "Locator":
    """Open a tab, and a tab in it; what it shows."""
    for name in tabs:
        page.get_by_role("tab", name=name, exact=True).click()
    return panel(page)


def put_away(page: "Page") -> None:
    """Close what the console has said."""
    page.evaluate("document.querySelectorAll('.toast-close').forEach((close) => close.click())")
    page.wait_for_function("!document.querySelector('.toast-body')")


def told(page: "Page", text: str) -> None:
    """Wait until a message of the console says this, and put it away."""
    toast = page.locator(".toast-body", has_text=text).first
    toast.wait_for()
    title = toast.locator(".toast-title").inner_text()
    assert not re.search("[A-Za-z]", title), title
    put_away(page)


def operations(office: Office, action: str) -> list[Any]:
    """What the operation log has of this kind, the newest first."""
    return [one for one in office.database.read(staff.operations, 200) if one.action == action]
