"""The desk simulator keeps WeChat's own rules, over HTTP as everybody else meets them."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.loopback import serving
from wechat.simulator import create_simulator

MINI, OFFICIAL = ("wxmini", "mini-secret"), ("wxoa", "oa-secret")
RID = r"rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}"


class Desk:
    """A hand on the simulator."""

    def __init__(self, url):
        self.url = url

    def post(self, path, /, **body):
        return requests.post(self.url + path, json=body, timeout=5)

    def get(self, path, /, headers=None, **query):
        return requests.get(self.url + path, params=query, headers=headers, timeout=5)

    def login(self, **body):
        return self.post("/desk/login", **body).json()["code"]

    def advance(self, seconds):
        assert self.post("/desk/clock", advance=seconds).status_code == 200

    def trade(self, code, account=MINI, **query):
        query = {"appid": account[0], "secret": account[1], "grant_type": "authorization_code"} | query
        return self.get("/sns/jscode2session", js_code=code, **query).json()

    def token(self, account=MINI, **query):
        query = {"appid": account[0], "secret": account[1], "grant_type": "client_credential"} | query
        return self.get("/cgi-bin/token", **query).json()

    def stable_token(self, account=MINI, **body):
        body = {"appid": account[0], "secret": account[1], "grant_type": "client_credential"} | body
        return self.post("/cgi-bin/stable_token", **body).json()

    def works(self, answer):
        """Whether the platform takes this access token: True, or the errcode."""
        return self.get("/cgi-bin/getcallbackip", access_token=answer["access_token"]).json().get("errcode", True)


@pytest.fixture
def desk():
    with serving(create_simulator(dict([MINI, OFFICIAL]))) as url:
        yield Desk(url)


def test_a_code_is_good_for_one_trade(desk):
    code = desk.login(openid="o-alice", unionid="u-alice")
    session = desk.trade(code)
    assert session.pop("session_key")
    assert session == {"openid": "o-alice", "unionid": "u-alice"}
    refusal = desk.trade(code)
    assert refusal["errcode"] == 40163
    assert re.fullmatch(f"code been used, {RID}", refusal["errmsg"])


def test_of_many_trades_at_once_one_succeeds(desk):
    code = desk.login()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: desk.trade(code), range(16)))
    assert sorted(answer.get("errcode", 0) for answer in answers) == [0] + [40163] * 15


def test_without_an_openid_somebody_new_comes_along(desk):
    openids = {desk.trade(desk.login())["openid"] for _ in range(3)}
    assert len(openids) == 3
    assert {len(openid) for openid in openids} == {28}


def test_a_code_expires_after_five_minutes(desk):
    early, late = desk.login(), desk.login()
    desk.advance(295)
    assert "openid" in desk.trade(early)
    desk.advance(5)
    assert desk.trade(late)["errcode"] == 40029
    assert desk.trade(early)["errcode"] == 40029


def test_a_code_belongs_to_its_app(desk):
    assert desk.trade(desk.login(), OFFICIAL)["errcode"] == 40029
    assert "openid" in desk.trade(desk.login(appid=OFFICIAL[0]), OFFICIAL)


def test_a_refused_trade_does_not_use_up_the_code(desk):
    code = desk.login()
    assert desk.trade(code, secret="wrong")["errcode"] == 40125
    assert "openid" in desk.trade(code)


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"appid": "wxnobody"}, 40013),
        ({"appid": ""}, 41002),
        ({"secret": "wrong"}, 40125),
        ({"secret": ""}, 41004),
        ({"grant_type": "password"}, 40002),
    ],
)
def test_every_endpoint_checks_the_account(desk, query, errcode):
    answers = [desk.trade("code", **query), desk.token(**query), desk.stable_token(**query)]
    assert [answer["errcode"] for answer in answers] == [errcode] * 3


def test_a_missing_and_an_unknown_code_differ(desk):
    assert [desk.trade(code)["errcode"] for code in ("", "never-issued")] == [41008, 40029]


def test_answers_are_json_called_text(desk):
    for answer in (desk.get("/sns/jscode2session"), desk.get("/cgi-bin/token")):
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain")


def test_the_stable_token_stays_the_same(desk):
    first = desk.stable_token()
    desk.advance(100)
    again = desk.stable_token()
    assert again["access_token"] == first["access_token"]
    assert (first["expires_in"], again["expires_in"]) == (7200, 7100)
    assert desk.stable_token(OFFICIAL)["access_token"] != first["access_token"]


def test_the_stable_token_is_renewed_five_minutes_early_and_both_work(desk):
    first = desk.stable_token()
    desk.advance(7200 - 300)
    second = desk.stable_token()
    assert second["access_token"] != first["access_token"]
    assert (desk.works(first), desk.works(second)) == (True, True)
    desk.advance(300)
    assert (desk.works(first), desk.works(second)) == (40001, True)


def test_a_forced_token_kills_the_one_before(desk):
    first = desk.stable_token()
    second = desk.stable_token(force_refresh=True)
    assert (desk.works(first), desk.works(second)) == (40001, True)
    assert desk.stable_token()["access_token"] == second["access_token"]


def test_forcing_is_limited(desk):
    desk.stable_token(force_refresh=True)
    assert desk.stable_token(force_refresh=True)["errcode"] == 45011
    for _ in range(19):
        desk.advance(30)
        assert "access_token" in desk.stable_token(force_refresh=True)
    desk.advance(30)
    assert desk.stable_token(force_refresh=True)["errcode"] == 45009
    assert "access_token" in desk.stable_token()
    desk.advance(86400)
    assert "access_token" in desk.stable_token(force_refresh=True)


def test_a_plain_token_is_new_each_time_and_the_old_one_lasts_five_minutes(desk):
    first, second = desk.token(), desk.token()
    assert first["access_token"] != second["access_token"]
    assert (desk.works(first), desk.works(second)) == (True, True)
    desk.advance(300)
    assert (desk.works(first), desk.works(second)) == (40001, True)
    desk.advance(7200)
    assert desk.works(second) == 42001


def test_plain_and_stable_tokens_leave_each_other_alone(desk):
    plain, stable = desk.token(), desk.stable_token()
    desk.stable_token(force_refresh=True)
    desk.token()
    desk.advance(300)
    assert (desk.works(plain), desk.works(stable)) == (40001, 40001)
    assert desk.works({"access_token": ""}) == 41001


def test_stable_token_wants_a_post_with_json(desk):
    assert desk.get("/cgi-bin/stable_token").json()["errcode"] == 43002
    bad = requests.post(desk.url + "/cgi-bin/stable_token", data="{", timeout=5)
    assert bad.json()["errcode"] == 47001


def test_a_fault_strikes_as_often_as_told(desk):
    assert desk.post("/desk/faults", path="/cgi-bin/token", errcode=-1, times=2).status_code == 204
    assert desk.stable_token()["access_token"]
    assert [desk.token().get("errcode") for _ in range(3)] == [-1, -1, None]


def test_faults_come_in_every_shape(desk):
    desk.post("/desk/faults", path="/cgi-bin/token", http_status=502)
    desk.post("/desk/faults", path="/cgi-bin/token", html=True)
    desk.post("/desk/faults", path="/cgi-bin/token", delay=0.2)
    down, page, slow = (desk.get("/cgi-bin/token") for _ in range(3))
    assert (down.status_code, page.status_code) == (502, 200)
    assert page.text.startswith("<html>")
    assert slow.elapsed.total_seconds() >= 0.2
    assert slow.json()["errcode"] == 40002


def test_faults_can_be_mended(desk):
    desk.post("/desk/faults", path="/cgi-bin/token", errcode=45009, times=9)
    requests.delete(desk.url + "/desk/faults", timeout=5)
    assert "access_token" in desk.token()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("login", {"openid": "<b>"}),
        ("login", {"openid": 7}),
        ("login", {"appid": "wxnobody"}),
        ("clock", {}),
        ("clock", {"advance": -1}),
        ("faults", {"errcode": 1}),
        ("faults", {"path": "/", "times": 0}),
        ("faults", {"path": "/", "delay": 1e9}),
        ("faults", {"path": "/", "what": 1}),
    ],
)
def test_the_desk_refuses_nonsense_in_words(desk, path, body):
    answer = desk.post(f"/desk/{path}", **body)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""])
def test_only_names_of_this_machine_are_answered(desk, host):
    assert desk.get("/", headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8001", "[::1]:8001"])
def test_every_name_of_this_machine_is(desk, host):
    assert desk.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_pages_of_this_machine_may_log_in(desk, origin):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = requests.options(desk.url + "/desk/login", headers=headers, timeout=5)
    answer = requests.post(desk.url + "/desk/login", json={}, headers=headers, timeout=5)
    assert answer.json()["code"]
    for response in (preflight, answer):
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost.evil.example", "null"])
def test_pages_from_elsewhere_may_not(desk, origin):
    answer = requests.post(desk.url + "/desk/login", json={}, headers={"Origin": origin}, timeout=5)
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_page_says_what_it_is_and_shows_the_codes(desk):
    assert "只在本机运行，代替 api.weixin.qq.com" in desk.get("/").text
    code = desk.login(openid="o-alice")
    page = desk.get("/").text
    assert code in page and "o-alice" in page and "未用" in page
    desk.trade(code)
    assert "已用" in desk.get("/").text


def test_a_weixin_without_accounts_is_refused():
    with pytest.raises(ValueError, match="account"):
        create_simulator({})
