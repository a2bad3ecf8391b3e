"""A phone as a test speaks of it: open, type, tap, look; and what may go wrong on a phone."""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, BrowserContext, CDPSession, Locator, Page
from playwright.sync_api import TimeoutError as NotSeen

from tests.miniprogram.builds import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HEIGHT = {320: 568, 390: 844}  # an iPhone SE and an iPhone 14
HOME_BAR = 34  # what the second of them keeps for itself at the bottom
LARGE_FONT = 23
POLL_MS = 40  # reading the whole screen at every frame would keep it busy
STEPS = 8  # in which a finger slides
PATIENCE = 5.0  # seconds
HURRY = 10  # times faster passes the time that a phone spends in the background


@dataclass(frozen=True)
class Updates:
    """What setData has moved: `rate` is the largest number of calls within a second."""

    calls: int
    bytes: int
    rate: int


@dataclass(frozen=True)
class Place:
    """Where phones find everything, by URLs; `phones` is where the site finds their settings."""

    site: str
    api: str
    simulator: str
    phones: dict[str, dict[str, Any]]


class Tabs:
    """Tabs of the browser, used again and again: a new one costs more than most tests."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._free: dict[bool, list[Page]] = {True: [], False: []}

    def take(self, sharp: bool) -> Page:
        free = self._free[sharp]
        return free.pop() if free else self._open(sharp).new_page()

    def give_back(self, page: Page, sharp: bool) -> None:
        """Whatever runs in it ends, and nothing is left of what it stored."""
        if page.url.startswith("http"):
            page.evaluate("() => localStorage.clear()")
        page.goto("about:blank")
        page.unroute_all()
        self._free[sharp].append(page)

    def _open(self, sharp: bool) -> BrowserContext:
        context = self._browser.new_context(
            device_scale_factor=2 if sharp else 1, has_touch=True, is_mobile=True, locale="zh-CN"
        )
        context.set_default_timeout(PATIENCE * 1000)
        return context


class Phone:
    """One phone of one person. Names in quotes are what stands on the screen, or an aria-label.

    `sharp` is how phones are: two pixels a pixel, for pictures; without it four times less has to be painted.
    """

    def __init__(
        self,
        tabs: Tabs,
        place: Place,
        build: str,
        *,
        width: int = 390,
        height: int | None = None,
        dark: bool = False,
        large_font: bool = False,
        sharp: bool = False,
        cloud: bool = False,
        openid: str | None = None,
        config: dict[str, Any] | None = None,
        **faults: Any,
    ) -> None:
        self._name = secrets.token_hex(8)
        self.openid = openid or f"o-{secrets.token_hex(8)}"
        self.place = place
        self.build = build
        self.forgiving = False  # errors of the pages are expected
        self.patience = PATIENCE
        self.closed = False
        options = {"baseUrl": place.api} | ({"cloudEnv": "prod-1", "cloudService": "ai-chat"} if cloud else {})
        self.settings = {
            "api": place.api,
            "simulator": place.simulator,
            "cloud": f"{place.site}/cloud",
            "openid": self.openid,
            "overrides": {"config.js": options | (config or {})},
            "faults": _camel(faults) | ({"fontSize": LARGE_FONT} if large_font else {}),
        }
        self._tabs = tabs
        self._stored: dict[str, Any] = {}
        self._wire: CDPSession | None = None
        self._finger: tuple[float, float] = (0, 0)
        self._sharp = sharp
        self.page = tabs.take(sharp)
        self.page.set_viewport_size({"width": width, "height": height or HEIGHT[width]})
        self.dark(dark)
        insets = {"bottom": HOME_BAR if width == 390 else 0}
        self._cdp().send("Emulation.setSafeAreaInsetsOverride", {"insets": insets})

    # Opening and closing

    def open(self, path: str = "pages/chat/chat", **query: str) -> "Phone":
        """Start the mini-program, as from its icon or from a shared card; what is stored, is still there."""
        written = path + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")
        self.place.phones[self._name] = self.settings | {"stored": self._stored}
        self._stored = {}
        self.page.goto(f"{self.place.site}/{self.build}/phone.html?page={quote(written)}&phone={self._name}")
        try:
            self.page.wait_for_function("() => window.phone && phone.ready")
        except NotSeen:
            raise AssertionError("it did not start:\n" + "\n".join(self.troubles())) from None
        return self

    def close(self) -> None:
        """Switch it off; its person may come back with a new one."""
        if self.closed:
            return
        self.closed = True
        if self._wire:
            self._wire.detach()
        self._tabs.give_back(self.page, self._sharp)

    def leave(self) -> None:
        """Go to another app."""
        self.js("() => phone.toBackground()")

    def come_back(self) -> None:
        self.js("() => phone.toForeground()")

    def background(self, seconds: float) -> None:
        """Be in another app for so long, HURRY times faster than life."""
        self.faults(background_ms=5000 / HURRY)
        self.leave()
        self.pass_time(seconds / HURRY)
        self.come_back()

    def pass_time(self, seconds: float) -> None:
        """Let real time pass, where time itself is what is tested."""
        self.page.wait_for_timeout(seconds * 1000)

    # Doing

    def type(self, text: str, into: str | None = None) -> None:
        """Write into the field of this label or placeholder; without one, into the only one there is."""
        self.field(into).fill(text)

    def press_enter(self, into: str | None = None) -> None:
        self.field(into).press("Enter")

    def tap(self, name: str, which: int = -1, within: float | None = None) -> None:
        """Tap what is called so; of several the last, or the one that is asked for."""
        self.find(name, which, within).tap()

    def ask(self, question: str, button: str = "发送") -> None:
        self.type(question)
        self.tap(button)

    def press(self, name: str) -> None:
        """Put a finger on it, until `release`."""
        box = self.find(name).bounding_box()
        assert box, f"{name} is not on the screen"
        self._finger = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self._touch("touchStart", self._finger)

    def slide(self, down: float) -> None:
        """Move the finger that is on the screen, by so many pixels (up: negative)."""
        x, y = self._finger
        for step in range(1, STEPS + 1):
            self._touch("touchMove", (x, y + down * step / STEPS))
        self._finger = (x, y + down)

    def release(self) -> None:
        self._touch("touchEnd")

    def long_press(self, name: str) -> None:
        self.press(name)
        self.pass_time(0.4)
        self.release()

    def swipe(self, down: float) -> None:
        """Scroll as a finger does; `down` is how far the content moves down."""
        size = self.page.viewport_size
        assert size
        self._finger = (size["width"] / 2, size["height"] / 2 - down / 2)
        self._touch("touchStart", self._finger)
        self.slide(down)
        self.release()

    def pull_down(self) -> None:
        self.js("() => phone.pullDown()")

    def back(self) -> None:
        self.js("() => phone.back()")

    def share(self) -> dict[str, Any]:
        """What the card would be that the menu's 转发 sends."""
        return self.js("() => phone.share()") or {}

    def keyboard(self, height: int) -> None:
        self.js("height => phone.keyboard(height)", height)

    def hear(self, *levels: float) -> None:
        """Let the microphone hear so loud a voice: levels from 0 to 1, each for a tenth of a second."""
        self.js("levels => phone.hear(levels)", list(levels))

    def dark(self, dark: bool = True) -> None:
        self.page.emulate_media(color_scheme="dark" if dark else "light")

    # Looking

    def find(self, name: str, which: int = -1, within: float | None = None) -> Locator:
        """The visible control of this name: a button, else what is labelled so, else what reads so."""
        page = self.page
        ways = [
            page.get_by_role("button", name=name, exact=True),
            page.get_by_label(name, exact=True),
            page.get_by_text(name, exact=True),
        ]
        anything = ways[0].or_(ways[1]).or_(ways[2]).filter(visible=True)
        try:
            anything.first.wait_for(state="visible", timeout=(within or self.patience) * 1000)
        except NotSeen:
            raise AssertionError(f"no {name!r} on the screen, which shows:\n{self.text()}") from None
        found = next(way for way in (w.filter(visible=True) for w in ways) if way.count())
        return found.nth(which)

    def field(self, name: str | None = None) -> Locator:
        page = self.page
        if name is None:
            return page.locator("textarea.wx-control, input.wx-control").filter(visible=True)
        return page.get_by_label(name, exact=True).or_(page.get_by_placeholder(name, exact=True)).filter(visible=True)

    def text(self) -> str:
        """Everything that can be read on the screen."""
        return str(self.page.locator("body").inner_text())

    def shows(self, text: str) -> bool:
        return text in self.text()

    def see(self, *texts: str, within: float | None = None) -> None:
        """Wait until these can be read, all of them."""
        self._until(
            "texts => texts.every((text) => document.body.innerText.includes(text))", texts, within, "not seen"
        )

    def gone(self, *texts: str, within: float | None = None) -> None:
        """Wait until none of these can be read."""
        still = "texts => !texts.some((text) => document.body.innerText.includes(text))"
        self._until(still, texts, within, "still there")

    def when_shown(self, text: str) -> Callable[[], float]:
        """Watch for a text from now on; call the result to get the time (as time.time()) it was on the screen."""
        watch = """text => {
            window.shownAt = new Promise((resolve) => {
                const look = () => {
                    if (document.body.textContent.includes(text)) resolve(performance.timeOrigin + performance.now());
                    else requestAnimationFrame(look);
                };
                look();
            });
        }"""
        self.js(watch, text)
        return lambda: float(self.js("() => window.shownAt")) / 1000

    def clipboard(self) -> str:
        return str(self.js("() => phone.clipboard"))

    def stored(self, key: str) -> Any:
        return self.js("key => phone.wx.getStorageSync(key)", key)

    def store(self, key: str, value: Any) -> None:
        """Put something into the storage, as an older version has left it; do so before `open`."""
        self._stored[key] = value

    def data(self) -> dict[str, Any]:
        """The data of the page on the screen."""
        return dict(self.js("() => JSON.parse(JSON.stringify(phone.page().data))"))

    def route(self) -> str:
        return str(self.js("() => phone.page().route"))

    def calls(self, api: str) -> list[dict[str, Any]]:
        """What this function of wx was called with, in order."""
        return list(self.js("api => phone.calls.filter((call) => call.api === api).map((call) => call.args)", api))

    def setdata(self) -> Updates:
        """What setData has moved since the start, or since `forget_setdata`."""
        updates = self.js("() => phone.updates.map(({ at, bytes }) => [at, bytes])")
        times = [at for at, _ in updates]
        rate = max((sum(start <= at < start + 1000 for at in times) for start in times), default=0)
        return Updates(len(updates), sum(size for _, size in updates), rate)

    def forget_setdata(self) -> None:
        self.js("() => { phone.updates.length = 0; }")

    def screenshot(self, name: str, folder: Path = SCREENSHOTS) -> Path:
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, animations="disabled")
        return path

    def audit(self) -> list[str]:
        """What is too pale, too small to tap, or cut off on this screen."""
        return list(self.js("() => phone.audit()"))

    def troubles(self) -> list[str]:
        """Errors and warnings of pages and framework."""
        if self.closed or not self.page.url.startswith("http"):
            return []
        return list(self.js("() => window.phone ? [...phone.errors, ...phone.warnings] : []"))

    # What goes wrong

    def faults(self, **faults: Any) -> None:
        """Change what goes wrong from now on; the names are those of `USUAL` in runner/browser/phone.mjs."""
        self.js("faults => phone.setFaults(faults)", _camel(faults))

    @contextmanager
    def offline(self) -> Iterator[None]:
        self.faults(offline=True)
        yield
        self.faults(offline=False)

    def stub(self, path: str, body: Any, status: int = 200) -> None:
        """Have this path of the API answered like this, from now on; for what no server can be made to say."""
        headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
        self.page.route(
            re.compile(re.escape(self.place.api + path)),
            lambda route: route.fulfill(status=status, json=body, headers=headers),
        )

    # Below

    def js(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def _until(self, condition: str, texts: Sequence[str], within: float | None, what: str) -> None:
        seconds = (within or PATIENCE) * self.patience / PATIENCE
        try:
            self.page.wait_for_function(condition, arg=list(texts), timeout=seconds * 1000, polling=POLL_MS)
        except NotSeen:
            troubles = "\n".join(self.troubles())
            message = f"{what} within {seconds} s: {texts}; the screen shows:\n{self.text()}\n{troubles}"
            raise AssertionError(message) from None

    def _touch(self, kind: str, *points: tuple[float, float]) -> None:
        self._cdp().send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
        )

    def _cdp(self) -> CDPSession:
        if self._wire is None:
            self._wire = self.page.context.new_cdp_session(self.page)
        return self._wire


def _camel(names: dict[str, Any]) -> dict[str, Any]:
    """split_bytes → splitBytes."""
    return {re.sub("_(.)", lambda match: match[1].upper(), name): value for name, value in names.items()}
