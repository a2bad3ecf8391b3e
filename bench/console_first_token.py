"""How long after the model's first token it stands on the screen of 试聊: real console, real browser.

python -m bench.console_first_token
"""

import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from core import migrate, passwords
from core.database import Database
from core.store import staff
from tests.fakes import FakeCogito
from tests.miniprogram.builds import chromium
from tests.miniprogram.phone import FLAGS
from tests.server import Console

ROUNDS = 20
WATCH = """() => {
  window.shownAt = null
  new MutationObserver(() => {
    const last = [...document.querySelectorAll('#lane-a .answered .said')].at(-1)
    if (window.shownAt || !last?.textContent.startsWith('first')) return
    window.shownAt = performance.timeOrigin + performance.now()
  }).observe(document.body, {subtree: true, childList: true, characterData: true})
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, FakeCogito() as cogito, sync_playwright() as playwright:
        database = Database(f"sqlite:///{folder}/chat.db")
        migrate.upgrade(database)
        database.write(staff.add, "bench", passwords.hashed("bench"), "editor")
        token = database.write(staff.open_session, database.read(staff.get, "bench").id, 3600)
        url = database.url.render_as_string(hide_password=False)
        console = Console(Path(folder), model_url=cogito.url, database_url=url).wait_ready()
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            context = browser.new_context()
            context.add_cookies([{"name": "console_session", "value": token, "url": console.url}])
            page = context.new_page()
            page.goto(console.url)
            took = [_round(page, cogito, number) for number in range(ROUNDS)]
        finally:
            browser.close()
            console.stop()
    took.sort()
    print(f"first token on screen: p50 {statistics.median(took):.0f} ms, max {took[-1]:.0f} ms, {ROUNDS} rounds")


def _round(page: Page, cogito: FakeCogito, number: int) -> float:
    """Milliseconds from the model's first token to its place on the screen."""
    cogito.hold_again()
    cogito.will(pieces=["first", f" answer {number}"], hold_at=0)
    page.get_by_role("button", name="新对话").click()
    box = page.locator("#question textarea")
    box.fill(f"question {number}")
    box.press("Enter")
    cogito.wait_for(lambda: cogito.active == 1)
    page.wait_for_selector("#lane-a .dots")
    page.evaluate(WATCH)
    began = time.time()
    cogito.release()
    page.wait_for_function("() => window.shownAt")
    shown = page.evaluate("() => window.shownAt")
    page.wait_for_selector("#lane-a .figures")
    return float(shown) - began * 1000


if __name__ == "__main__":
    main()
