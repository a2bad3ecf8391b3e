"""The access token that all processes share, and the calls that need it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.database import Database
from core.store import accounts
from core.tables import now_ms
from tests.loopback import serving
from wechat.access_token import AccessToken
from wechat.messaging import Messaging
from wechat.platform import PlatformError, WeChatPlatform
from wechat.simulator.account import Account
from wechat.simulator.app import create_simulator
from wechat.simulator.world import Fault


class Fetcher:
    """Counts; gives `t1`, `t2`, … or what it is told to."""

    def __init__(self):
        self.calls, self.forced, self.seconds, self.fail = 0, 0, 7200, False
        self.lock = threading.Lock()

    def __call__(self, force):
        with self.lock:
            self.calls += 1
            self.forced += force
            if self.fail:
                raise PlatformError(-1, "busy")
            return f"t{self.calls}", self.seconds


@pytest.fixture
def fetcher():
    return Fetcher()


def test_processes_that_start_together_fetch_one_token(any_database, fetcher):
    url = any_database.url.render_as_string(hide_password=False)
    others = [any_database] if any_database.in_memory else [Database(url), Database(url)]
    processes = [AccessToken(each, "wx1", fetcher) for each in others]
    with ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(lambda number: processes[number % len(processes)].get(), range(32)))
    for each in others:
        each.dispose()
    assert set(tokens) == {"t1"}
    assert fetcher.calls == 1


def test_it_is_renewed_before_it_expires(database, fetcher):
    token = AccessToken(database, "wx1", fetcher)
    fetcher.seconds = 100  # less than the five minutes before the end in which WeChat makes a new one
    assert (token.get(), token.get()) == ("t1", "t2")


def test_the_old_one_is_used_while_no_new_one_can_be_had(database, fetcher):
    token = AccessToken(database, "wx1", fetcher)
    fetcher.seconds = 100
    assert token.get() == "t1"
    fetcher.fail = True
    assert token.get() == "t1"


def test_a_bad_one_is_replaced_once_whoever_notices(database, fetcher):
    first, second = AccessToken(database, "wx1", fetcher), AccessToken(database, "wx1", fetcher)
    bad = first.get()
    assert second.get() == bad
    with ThreadPoolExecutor(8) as pool:
        fresh = list(pool.map(lambda each: each.replace(bad), [first, second] * 8))
    assert set(fresh) == {"t2"}
    assert (fetcher.calls, fetcher.forced) == (2, 0)


def test_one_that_was_being_fetched_by_somebody_who_died_is_fetched_by_another(database, fetcher, monkeypatch):
    monkeypatch.setattr("wechat.access_token.LEASE_MS", 300)
    assert database.write(accounts.claim_fetch, "wx1", "", 300)
    assert AccessToken(database, "wx1", fetcher).get() == "t1"
    assert database.read(accounts.token, "wx1").until > now_ms()


@pytest.fixture
def desk():
    app = create_simulator({"wx2": "s3cret-of-the-account"}, Account("wx2", may_push=True))
    with serving(app) as url:
        app.extensions["official"].url = url
        yield app.extensions["official"]


@pytest.fixture
def platform(desk, database):
    platform = WeChatPlatform(desk.url, appid="wx2", secret="s3cret-of-the-account", database=database)
    yield platform
    platform.close()


def token_calls(desk):
    return sum(token.appid == "wx2" for token in desk.world._tokens.values())


def test_a_call_survives_a_token_that_died(desk, platform):
    messaging = Messaging(platform)
    assert messaging.callback_addresses() == ["127.0.0.1"]
    desk.world.stable_token("wx2", "s3cret-of-the-account", force=True)  # somebody forced a new one
    assert messaging.callback_addresses() == ["127.0.0.1"]


def test_a_token_that_is_never_taken_fails_after_one_more_try(desk, platform):
    desk.world.inject(Fault(path="/cgi-bin/getcallbackip", errcode=40001, times=50))
    with pytest.raises(PlatformError) as caught:
        Messaging(platform).callback_addresses()
    assert caught.value.errcode == 40001
    assert desk.world._faults[0].times == 48
    assert token_calls(desk) <= 2


def test_a_voice_is_bytes_and_a_refusal_is_an_error(desk, platform):
    media_id = desk.upload(b"#!AMR\n...", "audio/amr")
    messaging = Messaging(platform)
    assert messaging.media(media_id) == b"#!AMR\n..."
    with pytest.raises(PlatformError, match="40007"):
        messaging.media("unknown")


def test_on_cloud_hosting_no_token_is_sent(desk):
    desk.account.open_api = ("/cgi-bin/getcallbackip", "/cgi-bin/menu/get")
    platform = WeChatPlatform(desk.url, appid="wx2", secret="", open_api=True)
    with pytest.raises(PlatformError, match="46003"):  # let in, and there is no menu
        platform.call("GET", "/cgi-bin/menu/get")
    with pytest.raises(PlatformError, match="85107"):
        platform.call("GET", "/cgi-bin/get_current_selfmenu_info")
    platform.close()


def test_secrets_stay_here(desk, database, caplog):
    caplog.set_level("DEBUG")
    platform = WeChatPlatform(
        desk.url, appid="wx2", secret="s3cret-of-the-account", database=database, timeout=(1, 0.2)
    )
    desk.world.inject(Fault(path="/cgi-bin/getcallbackip", delay=1))
    with pytest.raises(PlatformError) as caught:
        Messaging(platform).callback_addresses()
    token = database.read(accounts.token, "wx2").text
    said = caplog.text + repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)
    assert token and token not in said and "s3cret" not in said
    platform.close()
