"""Bodies that are too large, too slow, or not what they say: refused, and nobody else notices."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import requests

from tests.house import House, problem
from tests.server import User
from wechat import bodies

KIB = 1024


def raw(user: User, path: str, body: Any, **headers: str) -> requests.Response:
    """A body as it is; an iterator goes out in chunks, without a length."""
    headers = {"Content-Type": "application/json"} | headers | user.headers
    return requests.post(user.url + path, data=body, headers=headers, timeout=30)


def as_ask(content: bytes) -> bytes:
    return b'{"content": %b}' % content


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"5",
        as_ask(b"NaN"),
        b'{"content": "x", "wait": NaN}',
        b'{"content": "x", "wait": Infinity}',
        b'{"content": "x", "wait": 1e999}',
        as_ask(b'"\xff\xfe"'),
        as_ask(b'"\xed\xa0\x80"'),
        as_ask(b'"\\ud800"'),
        as_ask(b'"\\udc00\\ud800"'),
        as_ask(b'"line\nbreak"'),
        as_ask("你好".encode("gbk")),
        '{"content": "你好"}'.encode("utf-16"),
        b"\xef\xbb\xbf" + as_ask(b'"x"'),
        b"[" * 30_000 + b"]" * 30_000,
        as_ask(b"[" * 30_000 + b"]" * 30_000),
        as_ask(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        as_ask(b'"x"') + b"{}",
        b"content=x",
    ],
    ids=lambda body: repr(body[:32]),
)
@pytest.mark.parametrize("path", ["/api/chat", "/chat"])
def test_what_is_no_sound_json_is_refused(house: House, path: str, body: bytes) -> None:
    calls = house.cogito.calls
    problem(raw(house.login(), path, body), 400, "invalid_message")
    assert house.cogito.calls == calls


def test_a_pair_of_surrogates_is_a_character(house: House) -> None:
    response = raw(house.login(), "/api/chat", as_ask(b'"\\ud83d\\ude00 smile"'))
    assert response.json()["reply"] == "回答：😀 smile"


def test_unknown_fields_are_passed_over(house: House) -> None:
    answer = house.login().post("/api/chat", {"content": "多余的", "temperature": 9, "user": "x"})
    assert answer.json()["reply"] == "回答：多余的"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
@pytest.mark.parametrize("path", ["/api/chat", "/chat", "/api/login"])
def test_another_media_type_is_refused(house: House, path: str, kind: str) -> None:
    problem(raw(house.login(), path, as_ask(b'"x"'), **{"Content-Type": kind}), 415, "unsupported_media")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json_may_say_its_charset(house: House, kind: str) -> None:
    assert raw(house.login(), "/api/chat", as_ask(b'"charset"'), **{"Content-Type": kind}).status_code == 200


def padded(size: int, path: str) -> bytes:
    """A sound request of so many bytes."""
    body: dict[str, Any] = {"content": "填满"} if path == "/api/chat" else {}
    if path == "/chat":
        body = {"messages": [{"role": "user", "content": "填满"}]}
    body["pad"] = ""
    body["pad"] = "x" * (size - len(orjson.dumps(body)))
    return orjson.dumps(body)


def in_chunks(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), 10_000):
        yield body[at : at + 10_000]


@pytest.mark.parametrize("way", ["with a length", "chunked"])
@pytest.mark.parametrize(("path", "limit"), [("/api/chat", 64 * KIB), ("/chat", 256 * KIB)])
def test_a_body_may_be_so_large_and_not_a_byte_larger(house: House, path: str, limit: int, way: str) -> None:
    user = house.login()
    send = in_chunks if way == "chunked" else bytes
    assert raw(user, path, send(padded(limit, path))).json()["reply"] == "回答：填满"
    calls = house.cogito.calls
    problem(raw(user, path, send(padded(limit + 1, path))), 413, "too_large")
    problem(raw(user, path, send(padded(limit + 500_000, path))), 413, "too_large")
    assert house.cogito.calls == calls


@pytest.mark.parametrize("path", ["/api/login", "/api/chat", "/api/conversations/1"])
def test_the_length_alone_is_enough_to_refuse(house: House, path: str) -> None:
    with Line(house, "PUT" if "conversations" in path else "POST", path, length=10**12) as line:
        line.send(b"{")
        assert line.answer().startswith(b"HTTP/1.1 413 ")


# Below HTTP


class Line:
    """A connection to the api, byte by byte."""

    def __init__(self, house: House, method: str, path: str, length: int | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", house.api.port), timeout=20)
        user = house.login()
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\n"
        self.send(f"{head}Content-Type: application/json\r\n{size}\r\n\r\n".encode())
        self.began = time.monotonic()

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> bytes:
        """The head of the response and the beginning of its body."""
        data = b""
        while b"\r\n\r\n{" not in data and (more := self.socket.recv(10_000)):
            data += more
        return data


@pytest.fixture(scope="module")
def slow_lines(_house: House) -> Iterator[list[Line]]:
    """Bodies that never end; opened first, so that their ten seconds pass beside the other tests."""
    lines = [Line(_house, "POST", "/api/chat", length) for length in (100, None) for _ in range(20)]
    for line in lines:
        line.send(b'5\r\n{"con' if line is lines[-1] else b"")
    yield lines
    for line in lines:
        line.socket.close()


@pytest.fixture(autouse=True)
def _begin_early(slow_lines: list[Line]) -> None:
    pass


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\n{}\r\n0\r\n\r\n", b"-5\r\n{}\r\n", b"5\r\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n"],
    ids=repr,
)
def test_broken_chunks_are_the_senders_fault(house: House, chunks: bytes) -> None:
    with Line(house, "POST", "/api/chat") as line:
        line.send(chunks)
        line.socket.shutdown(socket.SHUT_WR)
        answer = line.answer()
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b'"code":"invalid_message"' in answer


def test_a_body_that_ends_before_its_length_is_refused(house: House) -> None:
    calls = house.cogito.calls
    with Line(house, "POST", "/api/chat", length=100) as line:
        line.send(as_ask(b'"half"'))
        line.socket.shutdown(socket.SHUT_WR)
        assert line.answer().startswith(b"HTTP/1.1 400 ")
    assert house.cogito.calls == calls


def test_a_client_that_goes_while_it_sends_does_no_harm(house: House) -> None:
    for length in (100, None):
        with Line(house, "POST", "/api/chat", length) as line:
            line.send(b"5\r\n{")
    assert requests.get(f"{house.api.url}/health", timeout=2).status_code == 200


@pytest.mark.parametrize("way", ["too long", "badly chunked"])
def test_what_follows_a_refused_body_is_not_taken_for_a_request(house: House, way: str) -> None:
    """Only the body's own refusal comes back, whatever stands in the bytes that were not read."""
    inner = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    length, bytes_ = (len(inner) + 10**6, inner) if way == "too long" else (None, b"zz\r\n" + inner)
    with Line(house, "POST", "/api/chat", length) as line:
        line.send(bytes_)
        told = line.answer()
        assert told.startswith(b"HTTP/1.1 4")
        line.send(inner)
        line.socket.settimeout(0.3)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while more := line.socket.recv(10_000):
                told += more
        assert told.count(b"HTTP/1.1") == 1, told


def test_bodies_that_never_end_hold_up_nobody_and_are_refused_in_time(house: House, slow_lines: list[Line]) -> None:
    began = time.monotonic()
    assert house.login().ask("别人不受影响").status_code == 200
    assert time.monotonic() - began < 5
    assert bodies.BODY_SECONDS <= 10
    for line in slow_lines:
        answer = line.answer()
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "invalid_message"
    assert time.monotonic() - slow_lines[0].began < bodies.BODY_SECONDS + 5
