"""Every error of the HTTP API has one shape, a stable code, and a sentence a person may read."""

import re

import pytest
import requests
from sqlalchemy import text

from core.errors import ChatError
from tests.house import House, problem
from tests.server import User, wait_until
from wechat.problems import STATUS
from wechat.wording import SENTENCES

PLACES = [
    ("GET", "/nowhere", 404, "not_found"),
    ("GET", "/", 404, "not_found"),
    ("GET", "/api/", 404, "not_found"),
    ("GET", "/health/", 404, "not_found"),
    ("POST", "/health", 405, "method_not_allowed"),
    ("GET", "/chat", 405, "method_not_allowed"),
    ("GET", "/api/chat", 405, "method_not_allowed"),
    ("GET", "/api/login", 405, "method_not_allowed"),
    ("PATCH", "/api/conversations/1", 405, "method_not_allowed"),
    ("DELETE", "/api/turns/1", 405, "method_not_allowed"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), PLACES)
def test_a_wrong_address_or_method_is_a_problem_too(
    house: House, method: str, path: str, status: int, code: str
) -> None:
    response = requests.request(method, house.api.url + path, timeout=10)
    problem(response, status, code)
    assert ("Allow" in response.headers) == (status == 405)


def test_a_browser_at_a_new_server_is_shown_the_way(house: House) -> None:
    page = requests.get(f"{house.api.url}/", headers={"Accept": "text/html,*/*;q=0.8"}, timeout=10)
    assert page.status_code == 200 and page.url == f"{house.api.url}/docs"


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/chat", {}, "content"),
        ("POST", "/api/chat", {"content": 5}, "content"),
        ("POST", "/api/chat", {"content": "你好", "max_tokens": 0}, "max_tokens"),
        ("POST", "/chat", {"messages": [{"role": "user"}]}, "messages.0.content"),
        ("POST", "/chat", {"messages": []}, "messages"),
        ("GET", "/api/conversations?limit=x", None, "limit"),
        ("GET", "/api/conversations?before=x", None, "before"),
        ("POST", "/api/chat", [], "JSON"),
    ],
)
def test_the_field_that_is_wrong_is_named(house: House, method: str, path: str, body: object, field: str) -> None:
    user = house.login()
    answer = user.call(method, path, json=body)
    assert f" {field} " in problem(answer, 400, "invalid_message")["detail"]


def test_every_answer_bears_the_name_of_its_request(house: House) -> None:
    user = house.login()

    def name_of(response: requests.Response) -> str:
        return response.headers["X-Request-Id"]

    answers = [user.get("/api/me"), user.get("/nowhere"), user.call("OPTIONS", "/chat"), user.get("/health")]
    names = [name_of(one) for one in answers] + [name_of(user.call("DELETE", "/api/conversations"))]
    assert all(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("given", ["abc-DEF_1.2", "x" * 64])
def test_a_client_may_name_its_request(house: House, given: str) -> None:
    response = requests.get(f"{house.api.url}/nowhere", headers={"X-Request-Id": given}, timeout=10)
    assert problem(response, 404, "not_found")["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<script>", "甲".encode().decode("latin-1"), 'a"b', "a\tb"])
def test_a_name_that_could_do_harm_is_not_repeated(house: House, given: str) -> None:
    response = requests.get(f"{house.api.url}/nowhere", headers={"X-Request-Id": given}, timeout=10)
    assert re.fullmatch("[0-9a-f]{16}", problem(response, 404, "not_found")["request_id"])


def test_a_bug_is_logged_with_its_traceback_and_told_without(house: House) -> None:
    user = house.login()

    def rename(old: str, new: str) -> None:
        house.database.write(lambda connection: connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}")))

    rename("conversations", "gone")
    try:
        told = problem(user.get("/api/conversations"), 500, "internal")
        assert told["detail"] == "服务器内部错误，请稍后再试。"
        assert "Error" not in str(told).replace("Internal Server Error", "")
        wait_until(lambda: re.search("Error.*conversations", house.api.log))
        assert "Traceback" in house.api.log
        assert user.get("/api/me").status_code == 200
    finally:
        rename("gone", "conversations")
    assert user.get("/api/conversations").status_code == 200
    house.overlook_bugs()


def test_every_error_has_a_status_and_a_sentence() -> None:
    kinds = [ChatError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        assert any(parent in STATUS for parent in kind.__mro__)
        assert kind in SENTENCES or any(parent in SENTENCES for parent in kind.__mro__[1:-3])


# Pages of other origins


def preflight(url: str, path: str, method: str, headers: str = "authorization,content-type") -> requests.Response:
    asked = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    return requests.options(url + path, headers=asked, timeout=10)


def open_to_page(response: requests.Response) -> bool:
    """Whether https://page.example may read it; never with credentials."""
    assert "Access-Control-Allow-Credentials" not in response.headers
    origin = response.headers.get("Access-Control-Allow-Origin")
    assert origin in (None, "*") or "Origin" in response.headers["Vary"]
    return origin in ("*", "https://page.example")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chat"),
        ("POST", "/api/chat"),
        ("POST", "/api/login"),
        ("GET", "/api/turns/1/stream"),
        ("PUT", "/api/conversations/1"),
        ("DELETE", "/api/conversations/1"),
    ],
)
def test_a_page_of_any_origin_may_ask_first(house: House, method: str, path: str) -> None:
    response = preflight(house.api.url, path, method, "authorization,content-type,last-event-id,x-request-id")
    assert response.status_code == 200
    assert open_to_page(response)
    assert method in response.headers["Access-Control-Allow-Methods"].replace(" ", "").split(",")
    allowed = response.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
    assert {"authorization", "content-type", "last-event-id", "x-request-id"} <= set(allowed)


@pytest.mark.parametrize("path", ["/health", "/api/me", "/api/nowhere"])
def test_a_page_may_read_answers_and_errors(house: House, path: str) -> None:
    response = requests.get(house.api.url + path, headers={"Origin": "https://page.example"}, timeout=10)
    assert open_to_page(response)
    assert "X-Request-Id" in response.headers["Access-Control-Expose-Headers"]


def test_a_page_may_read_streams(house: House) -> None:
    user: User = house.login()
    user.headers = user.headers | {"Origin": "https://page.example"}
    response = user.post("/api/chat", {"content": "跨域流", "stream": True}, stream=True)
    assert open_to_page(response)
    assert b"event: done" in response.content


def test_where_origins_are_named_no_other_may_read(house: House) -> None:
    assert open_to_page(preflight(house.other.url, "/chat", "POST"))
    for origin in ("https://evil.example", "https://page.example.evil.example", "http://page.example", "null"):
        response = requests.get(f"{house.other.url}/health", headers={"Origin": origin}, timeout=10)
        assert "Access-Control-Allow-Origin" not in response.headers


def test_no_page_may_read_the_metrics(house: House) -> None:
    """A page that is open on the server's own desk would be let in as loopback."""
    response = requests.get(f"{house.api.url}/metrics", headers={"Origin": "https://elsewhere.example"}, timeout=10)
    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers
