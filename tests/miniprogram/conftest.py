"""Fixtures of the browser tests: one api process, one browser and one build for all of them; a phone for each."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.conftest import missing
from tests.house import House, housing
from tests.loopback import serving
from tests.miniprogram.builds import Builder, BuildFailed, chromium, lacking
from tests.miniprogram.site import Ears, backend_settings, create_site


@pytest.fixture(scope="session")
def equipment() -> None:
    """Whatever the pages need to run is on this machine."""
    if what := lacking():
        missing(what)


@pytest.fixture(scope="session")
def builder(equipment: None, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    builder = Builder(tmp_path_factory.mktemp("builds"))

    def begin() -> None:
        with suppress(BuildFailed):  # whoever needs it will hear of it
            builder.build("real")

    threading.Thread(target=begin).start()  # while the api starts
    return builder


@pytest.fixture(scope="session")
def _ears() -> Iterator[Ears]:
    ears = Ears()
    with serving(ears.app) as url:
        ears.url = f"{url}/v1/audio/transcriptions"
        yield ears


@pytest.fixture
def ears(_ears: Ears) -> Iterator[Ears]:
    """The transcription service: set what it `hears`."""
    yield _ears
    _ears.hears, _ears.status = Ears().hears, 200
    _ears.recordings.clear()


@pytest.fixture(scope="session")
def _backend(
    tmp_path_factory: pytest.TempPathFactory, simulator: str, builder: Builder, _ears: Ears
) -> Iterator[House]:
    with housing(tmp_path_factory.mktemp("backend"), simulator, backend_settings(simulator, _ears.url)) as house:
        yield house


@pytest.fixture
def backend(_backend: House) -> Iterator[House]:
    """The api process with its database and scripted model (`backend.cogito`)."""
    yield _backend
    _backend.settle()


@pytest.fixture(scope="package")
def place(_backend: House, simulator: str, builder: Builder) -> Iterator[Any]:
    from tests.miniprogram.phone import Place

    phones: dict[str, Any] = {}
    with serving(create_site(builder.builds, _backend.api.url, phones)) as site:
        yield Place(site, _backend.api.url, simulator, phones)


# Only as long as tests of this folder run: while it lives, no other test could use asyncio.
@pytest.fixture(scope="package")
def browser(equipment: None) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    from tests.miniprogram.phone import FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def tabs(browser: Any) -> Any:
    from tests.miniprogram.phone import Tabs

    return Tabs(browser)


@pytest.fixture
def new_phone(tabs: Any, backend: House, place: Any, builder: Builder) -> Iterator[Callable[..., Any]]:
    """Make phones: `new_phone(width=320, dark=True, …)`, each a person of its own; their pages must not err."""
    from tests.miniprogram.phone import Phone

    phones: list[Phone] = []

    def make(build: str | None = None, **options: Any) -> Phone:
        phones.append(Phone(tabs, place, build or builder.build("real"), **options))
        return phones[-1]

    yield make
    troubles = [trouble for phone in phones if not phone.forgiving for trouble in phone.troubles()]
    for phone in phones:
        phone.close()
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def phone(new_phone: Callable[..., Any]) -> Any:
    return new_phone()
