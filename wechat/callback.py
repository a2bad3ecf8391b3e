"""Flask blueprint: pushes of the official account, from WeChat's servers or through cloud hosting.

A delivery that is WeChat's gets HTTP 200 in time, or no byte at all until WeChat closes the line. Any other status,
and any early end of the connection, makes WeChat come back at once and tell the follower that the service is broken.
"""

import logging
import threading
import time
from collections import deque

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from core.settings import Settings
from wechat import phrases
from wechat.bodies import read_body
from wechat.envelope import Gate, NotAuthentic, Opened, check_age
from wechat.line import Line
from wechat.messages import MAX_BYTES, Malformed, Push, parse_fields, parse_push
from wechat.reception import Reception
from wechat.replies import WORDLESS, render

log = logging.getLogger(__name__)

BUDGET_SECONDS = 300.0


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

    def answer(opened: Opened, push: Push, line: Line) -> Response:
        visit = reception.visit(push, line.arrived + settings.wechat_reply_seconds)
        try:
            reply = reception.receive(visit)
        except Exception:
            log.exception("a push could not be answered")
            reply = phrases.SORRY if visit.last or not emergency.may_be_silent() else None
        if reply is None:
            return Response(line.silence(), content_type="text/plain")
        text = render(reply, push, opened.form)
        kind = "text/plain"
        if text != WORDLESS:
            text = gate.seal(text, opened) if gate else text
            kind = f"{opened.form.value}; charset=utf-8"
        data = text.encode()
        body = line.reply(data, lambda: reception.unseen(visit, reply))
        return Response(body, content_type=kind, headers={"Content-Length": str(len(data))})

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
        line = Line()
        if gate is None:
            raise NotFound
        body = read_body(MAX_BYTES)
        try:
            opened = gate.open(dict(request.args.lists()), body)
            push = parse_push(opened.fields)
            gate.check_age(push.created)
        except (NotAuthentic, Malformed) as reason:
            return _forbidden(reason)
        return answer(opened, push, line)

    @api.post("/cloud/callback")
    def receive_from_cloud() -> Response:
        line = Line()
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
        return answer(opened, push, line)

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
