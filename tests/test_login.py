"""Logging in with a code of WeChat's, and what must never be told: AppSecret, session_key, session token."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import requests
from flask import Flask, Response, request

from core.store import users
from tests.house import House, housing, problem
from tests.loopback import serving
from tests.server import Api, User

SECRET, SESSION_KEY = "app-secret-nobody-may-see", "c2Vzc2lvbi1rZXktbm9ib2R5LW1heS1zZWU="


def code_for(house: House, **who: str) -> str:
    code: str = requests.post(f"{house.api.simulator}/desk/login", json=who, timeout=10).json()["code"]
    return code


def log_in(house: House, code: object) -> requests.Response:
    return requests.post(f"{house.api.url}/api/login", json={"code": code}, timeout=10)


def will_answer(house: House, **fault: Any) -> None:
    """WeChat's next answer to a login."""
    body = {"path": "/sns/jscode2session"} | fault
    requests.post(f"{house.api.simulator}/desk/faults", json=body, timeout=10).raise_for_status()


def test_a_code_is_traded_for_a_token_that_opens_everything(house: House) -> None:
    answer = log_in(house, code_for(house))
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"token", "expires_in", "user_id"}
    assert body["expires_in"] == 7 * 86400
    for api in house.apis:
        me = requests.get(f"{api.url}/api/me", headers={"Authorization": f"bearer {body['token']}"}, timeout=10)
        assert me.json()["user_id"] == body["user_id"]


def test_a_code_works_once(house: House) -> None:
    code = code_for(house)
    assert log_in(house, code).status_code == 200
    assert "无效或已过期" in problem(log_in(house, code), 401, "unauthorized")["detail"]


@pytest.mark.parametrize("code", ["", "invented", "has space", "换行\n", "x" * 129])
def test_a_bad_code_opens_nothing(house: House, code: str) -> None:
    problem(log_in(house, code), 401, "unauthorized")


@pytest.mark.parametrize("code", [None, 5, ["a"]])
def test_a_code_has_to_be_text(house: House, code: object) -> None:
    problem(log_in(house, code), 400, "invalid_message")


def test_the_same_person_is_the_same_user_each_time(house: House) -> None:
    one, two = house.login(openid="openid-same"), house.other.login(openid="openid-same")
    assert one.user_id == two.user_id
    assert one.token != two.token
    turn_id = one.ask("还是我").json()["turn_id"]
    assert two.get(f"/api/turns/{turn_id}").json()["question"] == "还是我"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"errcode": 40226}, 403, "user_blocked"),
        ({"errcode": 40125}, 501, "not_configured"),
        ({"errcode": 40013}, 501, "not_configured"),
        ({"errcode": -1, "times": 2}, 503, "busy"),
        ({"errcode": 45011}, 503, "busy"),
        ({"http_status": 502}, 503, "busy"),
        ({"html": True}, 503, "busy"),
    ],
    ids=str,
)
def test_what_wechat_refuses_is_told_as_what_it_is(
    house: House, fault: dict[str, Any], status: int, code: str
) -> None:
    wechat_code = code_for(house)
    will_answer(house, **fault)
    problem(log_in(house, wechat_code), status, code)
    assert log_in(house, wechat_code).status_code == 200


def test_wechat_being_busy_once_is_not_noticed(house: House) -> None:
    code = code_for(house)
    will_answer(house, errcode=-1)
    assert log_in(house, code).status_code == 200


def test_logging_out_ends_the_token_in_another_process_at_once(house: House) -> None:
    user, elsewhere = house.login(openid="openid-out"), house.login(openid="openid-out")
    other = user.at(house.other.url)
    assert other.get("/api/me").status_code == 200
    assert user.post("/api/logout").status_code == 204
    problem(other.get("/api/me"), 401, "unauthorized")
    problem(user.get("/api/me"), 401, "unauthorized")
    assert elsewhere.get("/api/me").status_code == 200, "their other session goes on"


def test_an_expired_token_opens_nothing(house: House) -> None:
    user = house.login()
    table = users.SessionRow.__table__
    theirs = table.update().where(table.c.user_id == int(user.user_id))
    house.database.write(lambda c: c.execute(theirs.values(expires_at=1)))
    problem(user.get("/api/me"), 401, "unauthorized")


def test_the_database_knows_no_token(house: House) -> None:
    user = house.login()
    table = users.SessionRow.__table__
    rows = house.database.read(lambda c: c.execute(table.select().where(table.c.user_id == int(user.user_id))).all())
    assert rows
    assert user.token not in str(rows)


def test_a_unionid_makes_one_user_of_two_and_keeps_the_conversations_of_both(house: House) -> None:
    follower, phone = house.login(openid="openid-oa", unionid="union-1"), house.login(openid="openid-mp")
    assert follower.user_id != phone.user_id
    first, second = follower.ask("关注时问的").json(), phone.ask("小程序里问的").json()
    both = house.other.login(openid="openid-mp", unionid="union-1")
    assert both.user_id == follower.user_id
    titles = [one["title"] for one in both.get("/api/conversations").json()["conversations"]]
    assert sorted(titles) == sorted(["关注时问的", "小程序里问的"])
    for user in (follower, phone, both):
        assert user.get("/api/me").json()["user_id"] == follower.user_id, "older sessions belong to the one user"
        for turn in (first, second):
            assert user.get(f"/api/turns/{turn['turn_id']}").json()["reply"] == turn["reply"]
    assert house.login(openid="openid-mp").user_id == follower.user_id, "the unionid need not come again"
    assert house.login(openid="openid-third", unionid="union-1").user_id == follower.user_id


def test_users_become_one_while_an_answer_is_being_written(house: House) -> None:
    phone = house.login(openid="openid-mp2")
    house.login(openid="openid-oa2", unionid="union-2")
    house.cogito.when("合并时在写", pieces=["写到一半，", "写完了。"], hold_at=1)
    stream = phone.stream("合并时在写")
    stream.until("delta")
    both = house.login(openid="openid-mp2", unionid="union-2")
    house.cogito.release()
    assert stream.to_end().text == "写到一半，写完了。"
    assert both.wait_final(stream.turn_id)["status"] == "done"
    assert both.get("/api/me").json()["quota"]["used_today"] == 1


def test_me_tells_what_a_page_needs(house: House) -> None:
    user = house.login()
    me = user.get("/api/me").json()
    assert me["user_id"] == user.user_id
    assert (me["quota"]["per_day"], me["quota"]["used_today"]) == (0, 0)
    assert me["quota"]["resets_at"].endswith("T00:00:00+08:00")
    assert me["features"] == {"voice": False, "thinking": True}
    assert me["ai_label"] == "内容由 AI 生成"
    assert me["welcome"]
    assert me["suggestions"]
    user.ask("记一次")
    assert user.get("/api/me").json()["quota"]["used_today"] == 1


# With an account of our own at a WeChat of our own


def wechat() -> Flask:
    """A platform that is slow to forget: it hands out the session_key in success and in failure."""
    app = Flask(__name__)

    @app.get("/sns/jscode2session")
    def trade() -> Response:
        code, secret = request.args["js_code"], request.args["secret"]
        assert secret == SECRET
        if code.startswith("bad"):
            return told(errcode=40029, errmsg=f"invalid code {code} of {secret}", session_key=SESSION_KEY)
        if code.startswith("swap"):
            return told(errcode=40125, errmsg=f"invalid appsecret {secret}", session_key=SESSION_KEY)
        if code.startswith("html"):
            return Response(f"<html>{request.url}</html>", 502, headers={"X-Bad": request.url})
        if code.startswith("odd"):
            return told(session_key=SESSION_KEY)
        return told(openid=f"o-{code}", session_key=SESSION_KEY)

    return app


def told(**answer: Any) -> Response:
    return Response(orjson.dumps(answer), content_type="text/plain")


@pytest.fixture(scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    with serving(wechat()) as url:
        settings = {
            "host": "127.0.0.1",
            "miniprogram_appid": "wx0123456789abcdef",
            "miniprogram_secret": SECRET,
            "wechat_api_url": url,
            "login_per_minute": 3,
            "trusted_proxies": 1,
            "log_level": "DEBUG",
        }
        with housing(tmp_path_factory.mktemp("own"), simulator, settings, settings) as house:
            yield house


@pytest.fixture
def own(_own: House) -> Iterator[House]:
    yield _own
    _own.settle()


def come_from(house: House, address: str, code: str, api: Api | None = None) -> requests.Response:
    headers, url = {"X-Forwarded-For": address}, (api or house.api).url
    return requests.post(f"{url}/api/login", json={"code": code}, headers=headers, timeout=10)


def test_no_secret_is_in_any_answer_or_log_line(own: House) -> None:
    codes = ("good-code-1", "good-code-2", "bad-code", "html-code", "odd-code", "swap-code")
    answers = [come_from(own, f"10.0.1.{n}", code) for n, code in enumerate(codes)]
    assert [one.status_code for one in answers] == [200, 200, 401, 503, 503, 501]
    token = answers[0].json()["token"]
    user = object.__new__(User)
    user.url, user.headers = own.api.url, {"Authorization": f"Bearer {token}"}
    turn = user.ask("记在日志里吗[cut:1]")
    assert turn.status_code == 500
    user.get("/api/conversations", params={"before": "x"})
    user.post("/api/logout")
    problem(user.get("/api/me"), 401, "unauthorized")
    shown = own.api.log + "".join(one.text + str(one.headers) for one in answers[2:])
    shown += "".join(answers[n].text.replace(answers[n].json()["token"], "") for n in (0, 1))
    assert "jscode2session" in own.api.log, "the log tells what went wrong"
    for secret in (SECRET, SESSION_KEY, token, answers[1].json()["token"], *codes):
        assert secret not in shown


def test_an_address_may_log_in_so_often_a_minute_whichever_process_is_asked(own: House) -> None:
    def attempt(api: Api, address: str = "10.0.2.1") -> requests.Response:
        return come_from(own, address, "bad-guess", api)

    for _ in range(2):  # the minute may end in the midst of the first try
        answers = [attempt(own.apis[number % 2]) for number in range(4)]
        if answers[-1].status_code == 429:
            break
    assert {one.status_code for one in answers[:3]} <= {401, 429}
    problem(answers[-1], 429, "quota_exceeded")
    problem(come_from(own, "10.0.2.1", "good-code-3"), 429, "quota_exceeded")
    assert come_from(own, "10.0.2.2", "good-code-3").status_code == 200


def test_whoever_has_a_whole_network_of_ipv6_is_one_address(own: House) -> None:
    for _ in range(2):
        statuses = [come_from(own, f"2001:db8:1:2:{number}::1", "bad-guess").status_code for number in range(1, 5)]
        if statuses[-1] == 429:
            break
    assert statuses[-1] == 429
    assert come_from(own, "2001:db8:1:3::1", "bad-guess").status_code == 401
    assert come_from(own, "::ffff:10.0.2.9", "bad-guess").status_code == 401
