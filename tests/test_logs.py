"""What is logged: one line each, with request and turn, without secrets, and nothing a user could forge."""

import contextlib
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core import logs
from core.settings import Settings
from tests.fakes import FakeCogito
from tests.server import Api, wait_until
from wechat.access import AccessLog

SECRET = "sk-0123456789abcdef"
NASTY = '\n{"event":"forged"}\r\u2028\x1b[31mred\u202e\x00'


@pytest.fixture(params=["json", "console"])
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def written(style: str) -> Iterator[Callable[[], list[str]]]:
    """The lines logged since the test began."""
    before, level = logging.root.handlers[:], logging.root.level
    logs.set_up("INFO", style, {SECRET, 'a "quoted" one', "短"})
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", newline="")
    (handler,) = logging.root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)

    def lines() -> list[str]:
        stream.flush()
        assert isinstance(stream.buffer, io.BytesIO)
        return stream.buffer.getvalue().decode().splitlines()

    yield lines
    logging.root.handlers[:], logging.root.level = before, level
    logs.set_up("WARNING", "console")
    logging.root.handlers[:] = before
    logs.forget()


def test_what_a_user_wrote_stays_on_its_line(style: str, written: Callable[[], list[str]]) -> None:
    logging.getLogger("test").warning("they wrote %s", NASTY, extra={"more": NASTY})
    (line,) = written()
    assert not any(ord(character) < 32 or character in "\u2028\u202e" for character in line)
    if style == "json":
        assert json.loads(line)["event"].startswith("they wrote \n{")


def test_a_traceback_is_one_line_of_json_and_indented_for_people(
    style: str, written: Callable[[], list[str]]
) -> None:
    private = "a local variable"
    try:
        raise ValueError(f"{NASTY} {len(private)}")
    except ValueError:
        logging.getLogger("test").exception("it failed")
    first, *rest = written()
    assert "it failed" in first and private not in first
    if style == "json":
        assert rest == [] and "ValueError" in json.loads(first)["exception"]
    else:
        assert rest and all(line.startswith("    ") for line in rest)


def test_no_secret_is_in_any_line_whoever_put_it_there(written: Callable[[], list[str]]) -> None:
    log = logging.getLogger("test")
    log.warning("a URL with key=%s", SECRET)
    log.warning("quoted", extra={"value": 'a "quoted" one'})
    with contextlib.suppress(ValueError):
        try:
            raise ValueError(SECRET)
        except ValueError:
            log.exception("failed")
            raise
    logging.getLogger(logs.ACCESS).info("request", extra={"fields": {"path": f"/{SECRET}", "status": 200}})
    text = "\n".join(written())
    assert SECRET not in text and 'quoted\\" one' not in text
    assert text.count(logs.HIDDEN) >= 4


def test_lines_carry_the_request_they_belong_to_and_no_other(written: Callable[[], list[str]]) -> None:
    def request(number: int) -> None:
        logs.bind(request_id=f"request-{number}")
        ready.wait()
        logging.getLogger("test").warning("line %d", number)

    ready = threading.Barrier(4)
    threads = [threading.Thread(target=request, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logging.getLogger("test").warning("line of nobody")
    *lines, nobody = written()
    assert len(lines) == 4 and "request-" not in nobody
    for line in lines:
        number = line.split("line ")[1][0]
        assert f"request-{number}" in line


def test_every_setting_that_is_a_secret_is_known_as_one() -> None:
    given: dict[str, Any] = {
        "miniprogram_secret": "miniprogram-secret",
        "wechat_secret": "official-secret",
        "wechat_token": "callbacktoken",
        "wechat_aes_key": "k" * 43,
        "model_api_key": "model-key",
        "asr_api_key": "speech-key",
        "metrics_token": "metrics-token",
        "mysql_password": "mysql-password",
    }
    urls = {
        "model_api_url": "https://user:model%2Dpass@host/v1/chat/completions?api_key=query-key",
        "database_url": "postgresql+psycopg://user:database-pass@host/chat",
        "alert_webhook_url": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=robot-key",
    }
    secrets = Settings(_env_file=None, **given, **urls).secrets
    assert secrets >= set(given.values()) | {"model-pass", "model%2Dpass", "query-key", "database-pass", "robot-key"}
    named = [name for name in Settings.model_fields if name.endswith(("secret", "password", "_token", "_key"))]
    assert set(named) <= set(given) | {"wechat_aes_key_previous"}, "a new secret: is it kept out of the log?"


def test_requests_and_turns_can_be_followed(start_api: Callable[..., Api], cogito: FakeCogito) -> None:
    api = start_api(log_format="json", model_api_key=SECRET)
    user = api.login()
    turn = user.ask("你好").json()
    cogito.will_fail(500, times=4)
    failed = user.call("POST", "/api/chat?token=private-query", json={"content": "坏了"})
    user.stream("再来").to_end().close()
    user.get("/health")

    def told() -> list[dict[str, Any]]:
        return [json.loads(line) for line in api.log.splitlines() if line.startswith("{")]

    def access(path: str) -> list[dict[str, Any]]:
        return [one for one in told() if one["logger"] == logs.ACCESS and one["path"] == path]

    wait_until(lambda: len(access("/api/chat")) == 3, what="the line of each request")
    first, second, stream = access("/api/chat")
    assert first["turn_id"] == turn["turn_id"] and first["request_id"]
    assert (first["method"], first["status"], first["ip"]) == ("POST", 200, "127.0.0.1") and first["ms"] > 0
    assert second["status"] == failed.status_code == 503
    assert second["request_id"] == failed.headers["X-Request-Id"]
    assert stream["status"] == 200 and stream["request_id"] not in (first["request_id"], second["request_id"])
    (fault,) = [one for one in told() if one["logger"] == "core.writer" and one["level"] == "warning"]
    assert fault["turn_id"] == second["turn_id"]
    assert access("/health") == []  # of machines that ask every second
    for private in (SECRET, "private-query", user.token, "你好", "坏了"):
        assert private not in api.log


def test_what_is_left_unanswered_on_purpose_is_told_as_such(written: Callable[[], list[str]]) -> None:
    def silent() -> Iterator[bytes]:
        raise ConnectionResetError
        yield b""

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    counted: list[tuple[str, str, int]] = []
    for pieces in (silent, broken):
        app = AccessLog(
            lambda environ, start, pieces=pieces: (start("200 OK", []), pieces())[1],  # type: ignore[misc]
            lambda *ended: counted.append(ended),
        )
        answer = app({"REQUEST_METHOD": "POST", "PATH_INFO": "/wechat/callback"}, lambda *_: None)  # type: ignore[arg-type]
        with pytest.raises(ConnectionResetError):
            list(answer)
        answer.close()  # type: ignore[attr-defined]
    first, second = written()
    assert (" 0 " in first or '"status":0,' in first) and (" 200 " in second or '"status":200,' in second)
    assert counted == [("POST", "/wechat/callback", 0), ("POST", "/wechat/callback", 200)]
