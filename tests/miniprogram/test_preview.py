"""The preview: the mini-program as a web page beside the simulator, without Node and without a phone."""

import subprocess

import pytest
import requests

from core.settings import SIMULATOR_APPID, SIMULATOR_SECRET
from tests.fakes import FakeCogito
from tests.loopback import serving
from tests.miniprogram.builds import HERE, MINIPROGRAM
from tests.server import Api
from wechat.simulator.app import create_simulator
from wechat.simulator.preview import NOT_BUILT, preview


@pytest.fixture(scope="module")
def built(tmp_path_factory, equipment):
    out = tmp_path_factory.mktemp("preview")
    command = ["node", str(HERE / "runner" / "build.mjs"), str(MINIPROGRAM), str(out), "--preview"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def address(tmp_path_factory, built):
    """Where the preview is: a simulator that serves it, and an API that believes this simulator."""
    app = create_simulator({SIMULATOR_APPID: SIMULATOR_SECRET})
    with FakeCogito() as cogito, serving(app) as simulator:
        api = Api(tmp_path_factory.mktemp("api"), model_url=cogito.url, database_url="", simulator=simulator)
        app.register_blueprint(preview(built, api.wait_ready().url))
        yield f"{simulator}/miniprogram/"
        api.stop()


@pytest.fixture
def window(browser, address):
    """Open the preview in a browser's window of some kind."""
    contexts = []

    def open_(**options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()


def ask(page, question):
    inside = page.frame_locator("iframe")
    inside.get_by_placeholder("输入你的问题...").fill(question)
    inside.get_by_role("button", name="发送", exact=True).click()
    inside.get_by_text(f"回答：{question}").wait_for()


def test_on_a_desktop_it_is_a_phone_that_is_called_a_preview(window):
    page = window(viewport={"width": 1280, "height": 1000})
    ask(page, "能用鼠标吗")
    assert "小程序预览：在浏览器里模拟运行，不是真正的微信" in page.locator(".notice").inner_text()
    device = page.locator(".device").bounding_box()
    assert (device["width"], device["height"]) == (390, 844)
    assert page.locator(".bar h1").inner_text()
    assert page.complaints == [], "nothing is blocked, nothing is missing"


def test_on_a_phone_it_fills_the_screen(window):
    page = window(viewport={"width": 390, "height": 760}, has_touch=True, is_mobile=True)
    ask(page, "满屏吗")
    device = page.locator(".device").bounding_box()
    assert (device["x"], device["width"]) == (0, 390)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390


def test_somebody_who_comes_back_is_the_same_person(window):
    page = window(viewport={"width": 1280, "height": 1000})
    ask(page, "记住我")
    phone = "iframe => iframe.contentWindow.localStorage['phone:openid']"
    before = page.locator("iframe").evaluate(phone)
    page.reload()
    page.frame_locator("iframe").get_by_text("记住我", exact=True).wait_for()
    assert page.locator("iframe").evaluate(phone) == before


def test_its_pages_run_no_code_from_elsewhere(address):
    answer = requests.get(address, timeout=5)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert requests.get(address + "../../app.py", timeout=5).status_code == 404
    assert requests.get(address + "%2e%2e/%2e%2e/app.py", timeout=5).status_code == 404


def test_what_is_not_built_says_how_to_build_it(tmp_path):
    app = create_simulator({SIMULATOR_APPID: SIMULATOR_SECRET})
    app.register_blueprint(preview(tmp_path / "nothing", "http://127.0.0.1:8000"))
    with serving(app) as simulator:
        answer = requests.get(f"{simulator}/miniprogram/", timeout=5)
    assert (answer.status_code, answer.text) == (404, NOT_BUILT)
