"""WeChat cloud hosting vouches for who sent a request: X-WX-* headers instead of a session token."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import requests
from flask import Flask

from core.settings import SIMULATOR_APPID, Settings
from core.store import users
from tests.house import House, at_once, housing, problem
from wechat.chat import chat_api


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    with housing(tmp_path_factory.mktemp("cloud"), simulator, {"wechat_cloud": 1}) as house:
        yield house


def call(house: House, method: str, path: str, headers: Any, **options: Any) -> requests.Response:
    return requests.request(method, house.api.url + path, headers=headers, timeout=30, **options)


def somebody() -> dict[str, str]:
    return {"X-WX-OPENID": f"o{uuid4().hex[:27]}"}


def test_the_header_says_who_asks(cloud: House) -> None:
    who = somebody()
    first = call(cloud, "GET", "/api/me", who).json()["user_id"]
    assert call(cloud, "GET", "/api/me", who).json()["user_id"] == first
    assert call(cloud, "GET", "/api/me", somebody()).json()["user_id"] != first
    answer = call(cloud, "POST", "/api/chat", who, json={"content": "云上提问"}).json()
    assert answer["reply"] == "回答：云上提问"
    assert call(cloud, "GET", f"/api/turns/{answer['turn_id']}", who).status_code == 200
    problem(call(cloud, "GET", f"/api/turns/{answer['turn_id']}", somebody()), 404, "not_found")


def test_it_is_the_same_person_as_one_who_logged_in(cloud: House) -> None:
    openid = f"o{uuid4().hex[:27]}"
    user = cloud.login(openid=openid)
    assert call(cloud, "GET", "/api/me", {"X-WX-OPENID": openid}).json()["user_id"] == user.user_id
    assert user.get("/api/me").status_code == 200, "a token works as well"


def test_a_unionid_makes_one_person_of_two(cloud: House) -> None:
    who, unionid = somebody(), f"u{uuid4().hex[:27]}"
    first = call(cloud, "GET", "/api/me", who).json()["user_id"]
    follower = cloud.database.write(users.sign_in, "wxother", f"o{uuid4().hex[:27]}", unionid)
    united = call(cloud, "GET", "/api/me", who | {"X-WX-UNIONID": unionid}).json()["user_id"]
    assert united == str(follower) != first
    assert call(cloud, "GET", "/api/me", who).json()["user_id"] == united


def test_many_first_requests_at_once_make_one_person(cloud: House) -> None:
    who = somebody() | {"X-WX-UNIONID": f"u{uuid4().hex[:27]}"}
    told = at_once(lambda: call(cloud, "GET", "/api/me", who).json()["user_id"], times=12)
    assert len(set(told)) == 1
    assert cloud.database.read(users.of_identity, SIMULATOR_APPID, who["X-WX-OPENID"]) == int(told[0])


@pytest.mark.parametrize("odd", ["a,b", "o1, o2", "", "ö", "a b", "a" * 129, "o1;drop"])
def test_what_wechat_would_not_send_is_refused(cloud: House, odd: str) -> None:
    problem(call(cloud, "GET", "/api/me", {"X-WX-OPENID": odd.encode()}), 400, "invalid_message")
    if odd.strip():
        problem(call(cloud, "GET", "/api/me", somebody() | {"X-WX-UNIONID": odd.encode()}), 400, "invalid_message")


def test_two_headers_are_refused_whatever_the_token_says(cloud: House) -> None:
    user = cloud.login()
    connection = http.client.HTTPConnection("127.0.0.1", cloud.api.port, timeout=10)
    connection.putrequest("GET", "/api/me")
    for openid in ("o1", "o2"):
        connection.putheader("X-WX-OPENID", openid)
    connection.putheader("Authorization", f"Bearer {user.token}")
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_elsewhere_the_headers_mean_nothing(house: House) -> None:
    problem(call(house, "GET", "/api/me", somebody()), 401, "unauthorized")
    user = house.login()
    assert call(house, "GET", "/api/me", user.headers | {"X-WX-OPENID": "a,b"}).json()["user_id"] == user.user_id


@pytest.mark.parametrize(("settings", "seconds"), [({}, 50), ({"wechat_cloud": True}, 12)])
def test_an_answer_is_waited_for_12_seconds_there(settings: dict[str, Any], seconds: float) -> None:
    waited: list[float] = []
    answer = SimpleNamespace(
        final=False,
        error=None,
        turn=SimpleNamespace(id=1, conversation_id=2),
        state=SimpleNamespace(status="answering"),
        wait_until_final=waited.append,
    )
    engine: Any = SimpleNamespace(ask=lambda *args, **more: answer)
    database: Any = SimpleNamespace(read=lambda *args: SimpleNamespace(blocked=None, user_id=1))
    app = Flask("test")
    app.register_blueprint(chat_api(engine, database, Settings(**settings)))
    for body in ({"content": "慢慢来"}, {"content": "慢慢来", "wait": 3}):
        told = app.test_client().post("/api/chat", json=body, headers={"Authorization": "Bearer x"})
        assert told.status_code == 202
    assert waited == [seconds, 3]


def test_the_description_knows_the_header_only_there(cloud: House, house: House) -> None:
    schemes = [
        requests.get(f"{one.api.url}/openapi.json", timeout=10).json()["components"]["securitySchemes"]
        for one in (cloud, house)
    ]
    assert [sorted(one) for one in schemes] == [["cloud", "session"], ["session"]]


def test_one_may_log_out_and_be_erased(cloud: House) -> None:
    who = somebody()
    first = call(cloud, "GET", "/api/me", who).json()["user_id"]
    assert call(cloud, "POST", "/api/logout", who).status_code == 204
    assert call(cloud, "DELETE", "/api/me", who).status_code == 204
    assert cloud.database.read(users.of_identity, SIMULATOR_APPID, who["X-WX-OPENID"]) is None
    assert call(cloud, "GET", "/api/me", who).json()["user_id"] != first


def test_without_an_appid_of_ours_no_header_chooses_among_users(tmp_path: Path, simulator: str) -> None:
    settings = {"wechat_cloud": 1, "wechat_appid": "wx00000000000000oa", "host": "127.0.0.1"}
    with housing(tmp_path, simulator, settings) as house:
        who, unionid = somebody(), f"u{uuid4().hex[:27]}"
        known = call(house, "GET", "/api/me", who | {"X-WX-UNIONID": unionid}).json()["user_id"]
        for appid in ("unionid", "address", "wx0123456789abcdef"):
            assert call(house, "GET", "/api/me", who | {"X-WX-APPID": appid}).json()["user_id"] == known
        forged = {"X-WX-OPENID": unionid, "X-WX-APPID": "unionid"}
        assert call(house, "GET", "/api/me", forged).json()["user_id"] != known
