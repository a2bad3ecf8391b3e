"""Flask blueprint: pushes of the official account, from WeChat's servers or through cloud hosting.

A delivery that is WeChat's gets HTTP 200 in time, or no byte at all until WeChat closes the line. Any other status,
and any early end of the connection, makes WeChat come back at once and tell the follower that the service is broken.
"""

import errno
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from core.settings import Settings
from wechat import phrases
from wechat.bodies import read_body
from wechat.envelope import Gate, NotAuthentic, Opened, check_age
from wechat.messages import MAX_BYTES, Malformed, Push, parse_fields, parse_push
from wechat.reception import Reception
from wechat.replies import WORDLESS, render
from wechat.visits import LAST_AFTER_SECONDS

log = logging.getLogger(__name__)

LINE_SECONDS = 5.0  # when WeChat closes the line
SILENT_SECONDS = 6.0  # when we do, should it not
BUDGET_SECONDS = 300.0
_TCP_INFO_LAST_RECEIVED = slice(52, 56)  # tcpi_last_data_recv of Linux' struct tcp_info, in milliseconds


def callback_api(reception: Reception, settings: Settings) -> Blueprint:
    api = Blueprint("callback", __name__)
    gate = None
    if settings.wechat_token:
        keys = (settings.wechat_aes_key, settings.wechat_aes_key_previous)
        gate = Gate(
            settings.wechat_token,
            settings.official_appid,
            settings.callback_mode,
            keys,
            settings.wechat_max_age_seconds,
        )
    emergency = Emergency(settings.wechat_silent_per_5_min)

    def answer(opened: Opened, push: Push, arrived: float) -> Response:
        try:
            reply = reception.receive(push, arrived + settings.wechat_reply_seconds)
        except Exception:
            log.exception("a push could not be answered")
            last = time.time() - push.created >= LAST_AFTER_SECONDS
            reply = phrases.SORRY if last or not emergency.may_be_silent() else None
        if reply is None:
            return Response(_silence(arrived), content_type="text/plain")
        text = render(reply, push, opened.form)
        if text == WORDLESS:
            return Response(WORDLESS, content_type="text/plain")
        sealed = gate.seal(text, opened) if gate else text
        return Response(sealed, content_type=f"{opened.form.value}; charset=utf-8")

    @api.get("/wechat/callback")
    def verify() -> Response:
        if gate is None:
            raise NotFound
        try:
            return Response(gate.verify_url(dict(request.args.lists())), content_type="text/plain")
        except NotAuthentic as reason:
            return _forbidden(reason)

    @api.post("/wechat/callback")
    def receive() -> Response:
        arrived = _arrived()
        if gate is None:
            raise NotFound
        body = read_body(MAX_BYTES)
        try:
            opened = gate.open(dict(request.args.lists()), body)
            push = parse_push(opened.fields)
            gate.check_age(push.created)
        except (NotAuthentic, Malformed) as reason:
            return _forbidden(reason)
        return answer(opened, push, arrived)

    @api.post("/cloud/callback")
    def receive_from_cloud() -> Response:
        arrived = _arrived()
        if not settings.wechat_cloud:
            raise NotFound
        body = read_body(MAX_BYTES)
        try:
            opened = Opened(*parse_fields(body))
            if opened.fields.get("action") == "CheckContainerPath":
                return Response(WORDLESS, content_type="text/plain")
            if "X-WX-SOURCE" not in request.headers:
                raise NotAuthentic("no X-WX-SOURCE")
            push = parse_push(opened.fields)
            check_age(push.created, settings.wechat_max_age_seconds)
        except (NotAuthentic, Malformed) as reason:
            return _forbidden(reason)
        return answer(opened, push, arrived)

    return api


def _forbidden(reason: Exception) -> Response:
    log.info("a push was refused: %s", reason)
    return Response("", 403, content_type="text/plain")


class Emergency:
    """Silence without a database: counted in this process only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def may_be_silent(self) -> bool:
        now = time.monotonic()
        with self._lock:
            while self._times and self._times[0] < now - BUDGET_SECONDS:
                self._times.popleft()
            if len(self._times) >= self._limit:
                return False
            self._times.append(now)
            return True


def _line() -> socket.socket | None:
    """The connection the request came through."""
    found: Any = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    return found if hasattr(found, "getsockopt") else None


def _arrived() -> float:
    """When the request reached this machine (monotonic): a busy process may have come to it late."""
    now, line = time.monotonic(), _line()
    if line is None or not hasattr(socket, "TCP_INFO"):
        return now
    try:
        info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    except OSError:
        return now
    waited = int.from_bytes(info[_TCP_INFO_LAST_RECEIVED], "little") / 1000
    return now - min(waited, SILENT_SECONDS)


def _silence(arrived: float) -> Iterator[bytes]:
    """Wait until WeChat closes the line, then end the connection without having written a byte.

    To the server an app that breaks off before its first byte by a ConnectionError is one whose client has gone.
    """
    return _wait_and_drop(_line(), arrived)


def _wait_and_drop(line: socket.socket | None, arrived: float) -> Iterator[bytes]:
    end = arrived + SILENT_SECONDS
    while (left := end - time.monotonic()) > 0:
        if line is None or not _closed(line, left):
            time.sleep(max(0.0, end - time.monotonic()))
            break
        # A half-closed line looks the same as a closed one: before its time it does not count.
        early = arrived + LINE_SECONDS - time.monotonic()
        if early <= 0:
            break
        time.sleep(early)
        break
    raise ConnectionResetError(errno.ECONNRESET, "left unanswered on purpose")
    yield b""


def _closed(line: socket.socket, seconds: float) -> bool:
    """Wait for the other side to close; False if it sends more instead, or does not within the time."""
    try:
        line.settimeout(seconds)
        return line.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
