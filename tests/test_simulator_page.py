"""The desk's chat page in a real browser, with a real api behind it: a voice is sent, the menu is tapped."""

import secrets

import pytest

from tests.databases import missing
from tests.miniprogram.builds import chromium
from tests.phones import street

MENU = {
    "button": [
        {"type": "click", "name": "帮助", "key": "帮助"},
        {"name": "更多", "sub_button": [{"type": "click", "name": "人工", "key": "人工"}]},
    ]
}


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    with street(tmp_path_factory.mktemp("page"), processes=1, human_contact="400-820") as made:
        made.official.menu = MENU
        yield made


@pytest.fixture(scope="module")
def browser():
    if not chromium():
        missing("chromium is not installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed (requirements-dev.txt)")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(town, browser):
    """Somebody new looks at the page."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.set_default_timeout(15_000)
    page.goto(town.desk)
    yield page
    page.close()
    assert not troubles


def test_a_voice_file_is_sent_and_answered(town, page):
    recording = {"name": "a.amr", "mimeType": "audio/amr", "buffer": b"#!AMR\n" + secrets.token_bytes(32)}
    page.locator("#voice").set_input_files(recording)
    page.get_by_text("［语音］").wait_for()
    page.locator("#chat").get_by_text("语音", exact=False).nth(1).wait_for()
    pushed = town.official.pushes.messages[-1]
    assert pushed.fields["MsgType"] == "voice" and pushed.verdict.kind == "text"
    assert town.official.media[pushed.fields["MediaId"]][0] == recording["buffer"]


def test_the_menu_is_tapped_and_its_inner_one_too(town, page):
    page.locator("#menu").get_by_role("button", name="帮助").click()
    page.locator("#chat").get_by_text("直接发送文字").wait_for()
    page.locator("#menu").get_by_text("更多").click()
    page.locator("#menu").get_by_role("button", name="人工").click()
    page.locator("#chat").get_by_text("人工客服：400-820").wait_for()


def test_what_is_typed_is_answered_with_the_delivery_beside_it(town, page):
    town.cogito.will_say("在页面上看到的回答。")
    page.locator("#text").fill("在吗")
    page.locator("#send").click()
    page.locator("#chat").get_by_text("在页面上看到的回答。").wait_for()
    page.locator("#deliveries").get_by_text("在吗", exact=False).first.wait_for()


def test_a_follower_may_leave_and_come_back(town, page):
    page.locator("#unfollow").click()
    page.get_by_role("button", name="取消", exact=True).click()
    assert page.locator("#text").is_visible()
    page.locator("#unfollow").click()
    page.get_by_role("button", name="不再关注").click()
    page.locator("#follow").click()
    page.locator("#text").wait_for()
    events = [message.fields.get("Event") for message in town.official.pushes.messages]
    assert events[-2:] == ["unsubscribe", "subscribe"]


def test_what_travels_encrypted_can_be_read_beside_the_chat(town, page):
    page.locator("#text").fill("帮助")
    page.locator("#send").click()
    details = page.locator("#deliveries .message", has_text="帮助").locator("details").first
    details.locator("summary").click()
    assert "<Content><![CDATA[帮助]]></Content>" in details.inner_text()
    details.get_by_text("回复，解密后").wait_for()
    assert details.inner_text().count("<Encrypt>") == 2
