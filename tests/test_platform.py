"""The client of api.weixin.qq.com, against the desk simulator and against servers that answer nonsense."""

import logging
import socket
import traceback
from dataclasses import asdict

import pytest
import requests
from flask import Flask, Response

from core.errors import Busy, ChatError, NotConfigured, Unauthorized, UserBlocked
from tests.loopback import serving
from wechat.platform import PlatformError, WeChatPlatform
from wechat.simulator import create_simulator

APPID = "wx0123456789abcdef"
SECRET = "5ec7e75ec7e75ec7e75ec7e75ec7e700"
PATH = "/sns/jscode2session"


@pytest.fixture(scope="module")
def weixin():
    with serving(create_simulator({APPID: SECRET})) as url:
        yield url


@pytest.fixture
def desk(weixin):
    """What the phone and chance do: `desk("login", openid="o-alice")`."""

    def act(what, **body):
        answer = requests.post(f"{weixin}/desk/{what}", json=body, timeout=5)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    yield act
    requests.delete(f"{weixin}/desk/faults", timeout=5)


@pytest.fixture
def client():
    """Makes clients and closes them: `client(url, secret=...)`."""
    made = []

    def make(base_url, appid=APPID, secret=SECRET, **kwargs):
        made.append(WeChatPlatform(base_url, appid=appid, secret=secret, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def platform(client, weixin):
    return client(weixin)


@pytest.fixture
def nowhere():
    """A base URL where nobody listens, and nobody will while the test runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def answering(body, status=200, headers=None):
    app = Flask(__name__)
    app.add_url_rule(PATH, view_func=lambda: Response(body, status, headers or {"Content-Type": "text/plain"}))
    return serving(app)


def test_a_code_becomes_an_openid(platform, desk):
    session = platform.code2session(desk("login", openid="o-alice")["code"])
    assert (session.openid, session.unionid) == ("o-alice", None)


def test_the_unionid_comes_along(platform, desk):
    assert platform.code2session(desk("login", openid="o-bob", unionid="u-bob")["code"]).unionid == "u-bob"


def test_the_session_key_is_not_kept(platform, desk):
    session = platform.code2session(desk("login")["code"])
    assert set(asdict(session)) == {"openid", "unionid"}


def test_a_code_works_once(platform, desk):
    code = desk("login")["code"]
    platform.code2session(code)
    with pytest.raises(Unauthorized, match="40163"):
        platform.code2session(code)


def test_a_code_expires(platform, desk):
    code = desk("login")["code"]
    desk("clock", advance=300)
    with pytest.raises(Unauthorized, match="40029"):
        platform.code2session(code)


@pytest.mark.parametrize("code", ["", " ", "a b", "码", "a\n", "x" * 129, None, 7, ["a"], b"a"])
def test_a_malformed_code_never_leaves_the_house(client, nowhere, code):
    with pytest.raises(Unauthorized):
        client(nowhere).code2session(code)


@pytest.mark.parametrize(("account", "errcode"), [({"secret": "wrong"}, 40125), ({"appid": "wxnobody"}, 40013)])
def test_a_wrong_account_is_our_fault_and_logged(client, weixin, desk, caplog, account, errcode):
    with pytest.raises(NotConfigured):
        client(weixin, **account).code2session(desk("login")["code"])
    assert [(each.levelname, str(errcode) in each.message) for each in caplog.records] == [("ERROR", True)]


@pytest.mark.parametrize("account", [{"secret": ""}, {"appid": ""}])
def test_without_an_account_nobody_is_asked(client, nowhere, account):
    with pytest.raises(NotConfigured):
        client(nowhere, **account).code2session("code")


@pytest.mark.parametrize(
    ("errcode", "error"),
    [(40226, UserBlocked), (41008, Unauthorized), (45011, Busy), (41002, NotConfigured), (48001, Busy)],
)
def test_each_errcode_has_its_error(platform, desk, errcode, error):
    desk("faults", path=PATH, errcode=errcode)
    with pytest.raises(error, match=str(errcode)) as caught:
        platform.code2session(desk("login")["code"])
    assert isinstance(caught.value.__cause__, PlatformError)
    assert caught.value.__cause__.errcode == errcode


def test_a_busy_platform_is_asked_once_more(platform, desk):
    code = desk("login", openid="o-carol")["code"]
    desk("faults", path=PATH, errcode=-1)
    assert platform.code2session(code).openid == "o-carol"


def test_a_platform_that_stays_busy_is_busy(platform, desk):
    desk("faults", path=PATH, errcode=-1, times=2)
    with pytest.raises(Busy):
        platform.code2session(desk("login")["code"])


@pytest.mark.parametrize("fault", [{"html": True}, {"http_status": 502}, {"delay": 1}])
def test_an_unusable_answer_means_not_now(client, weixin, desk, caplog, fault):
    desk("faults", path=PATH, **fault)
    with pytest.raises(Busy):
        client(weixin, timeout=(1, 0.2)).code2session(desk("login")["code"])
    assert [each.levelname for each in caplog.records if each.name == "wechat.platform"] == ["WARNING"]


@pytest.mark.parametrize(
    "body", ["", "[]", "null", "{", "{}", '{"openid":""}', '{"openid":7}', '{"openid":"o","errcode":"0"}', b"\xff"]
)
def test_a_nonsensical_body_means_not_now(client, body):
    with answering(body) as url, pytest.raises(Busy):
        client(url).code2session("code")


def test_a_redirect_is_not_followed(client, weixin):
    with answering("", 302, {"Location": weixin + PATH}) as url, pytest.raises(Busy, match="302"):
        client(url).code2session("code")


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "application/json; charset=UTF-8"])
def test_the_body_counts_and_not_its_type(client, content_type):
    body = '{"errcode":0,"session_key":"k","openid":"o-dave"}'
    with answering(body, headers={"Content-Type": content_type}) as url:
        assert client(url).code2session("code").openid == "o-dave"


def test_an_unreachable_platform_means_not_now(client, nowhere):
    with pytest.raises(Busy):
        client(nowhere).code2session("code")


def test_a_proxy_in_the_environment_is_not_used(platform, desk, nowhere, monkeypatch):
    code = desk("login", openid="o-erin")["code"]
    monkeypatch.setenv("HTTP_PROXY", nowhere)
    monkeypatch.setenv("NO_PROXY", "")
    assert platform.code2session(code).openid == "o-erin"


def everything_said(error):
    """The error, its whole chain, and what the exceptions carry."""
    said = "".join(traceback.format_exception(error))
    while error:
        said += repr(error) + repr(error.args) + repr(vars(error))
        error = error.__cause__ or error.__context__
    return said


def test_no_secret_is_ever_said(client, weixin, desk, nowhere, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "urllib3")  # which is told to be silent where logs are set up
    platform = client(weixin, timeout=(1, 0.2))
    said = repr(platform)
    for fault in [{"errcode": 40125}, {"http_status": 500}, {"html": True}, {"delay": 1}]:
        code = desk("login")["code"]
        desk("faults", path=PATH, **fault)
        with pytest.raises(ChatError) as caught:
            platform.code2session(code)
        said += everything_said(caught.value)
    with answering(f'{{"errcode":40125,"errmsg":"not {SECRET}"}}') as url, pytest.raises(ChatError) as caught:
        client(url).code2session("code")
    said += everything_said(caught.value)
    with pytest.raises(ChatError) as caught:
        client(nowhere).code2session("code")
    said += everything_said(caught.value) + caplog.text
    assert "secret=***" in caplog.text
    assert SECRET not in said
    assert "requests.exceptions" not in said
