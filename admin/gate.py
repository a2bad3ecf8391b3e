"""The gate before the console: every request is checked here, whatever part of Gradio it is meant for.

Gradio's own endpoints answer anyone (`/gradio_api/token` even hands out the token), and reflect any Origin. So only
the paths its page needs are open, only to somebody logged in, and only to a page of ours.
"""

import asyncio
import contextlib
import logging
import re
import time
from typing import Any

from sqlalchemy.exc import DBAPIError
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import HTTPConnection, cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admin.wording import AWAY
from core.database import Database, away
from core.errors import Unauthorized
from core.store import staff

log = logging.getLogger(__name__)

COOKIE = "console_session"
PUBLIC = ("/login", "/health", "/brand-logo")
OURS = re.compile(r"/(logout|password|export/[\w.-]+)?")
# What Gradio's page asks for; everything else of Gradio's is closed. (`file=` above all: it hands out files, and
# fetches addresses of other sites, whose pages would then run here as ours.)
NEEDED = re.compile(
    r"/(config|theme\.css|favicon\.ico|manifest\.json|pwa_icon(/\w+)?|(assets|static|svelte)/.+"
    r"|gradio_api/(queue/(join|data)|heartbeat/\w+|reset|cancel|upload|upload_progress|startup-events|theme\.css))"
)
MAX_BODY, MAX_UPLOAD = 2_000_000, 12_000_000
LOOK_SECONDS = 2.0  # how often a stream of events looks whether its session has ended

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; media-src 'self' blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def session_token(headers: Headers) -> str:
    """The session token of a request, or nothing."""
    # Read as browsers write it: the strict parser of Python stops at what other programs of the host have left there.
    return cookie_parser("; ".join(headers.getlist("cookie"))).get(COOKIE, "")


def linked(query: QueryParams) -> str:
    """The part of an address that names a turn (`?turn=…`), which outlasts a log-in; nothing else does."""
    turn = query.get("turn", "")
    return f"?turn={turn}" if turn.isascii() and turn.isdigit() else ""


def client_address(connection: HTTPConnection, trusted_proxies: int) -> str:
    """Whose request this is: behind proxies of ours, what the outermost of them has noted."""
    header = ",".join(connection.headers.getlist("x-forwarded-for"))  # some proxies add a line of their own
    told = [part.strip() for part in header.split(",") if part.strip()]
    if trusted_proxies and len(told) >= trusted_proxies:
        return told[-trusted_proxies][:64]
    return connection.client.host if connection.client else "unknown"


class Gate:
    """ASGI middleware; the account that asks is in `scope["staff"]` for those behind."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            send = _with_headers(send, scope["path"])
            try:
                await self._http(scope, receive, send)
            except DBAPIError as fault:  # of the gate's own look, or a log-in's; nothing has been answered yet
                if not away(fault):
                    raise
                log.error("the database does not answer: %s", fault.orig)
                await _told(AWAY, 503)(scope, receive, send)
        # Gradio's page needs no websocket: unanswered, it is refused.

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        refusal = _refusal(headers, path)
        if refusal is None and path not in PUBLIC:
            scope["staff"] = await self._staff(session_token(headers))
            if scope["staff"] is None:
                refusal = _please_log_in(scope, headers)
            elif path == "/gradio_api/upload" and scope["staff"].role == "viewer":  # who can use no file sends none
                refusal = _told("你的账号没有这个权限。", 403)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        plain_send = send
        if path == "/gradio_api/queue/data":
            send = self._while_logged_in(session_token(headers), send)
        try:
            await self._app(scope, _bounded(receive, MAX_UPLOAD if path == "/gradio_api/upload" else MAX_BODY), send)
        except _TooLarge:
            await _told("内容太大了。", 413)(scope, receive, send)
        except _SessionEnded:
            await plain_send({"type": "http.response.body", "body": b""})

    async def _staff(self, token: str) -> Any | None:
        def look() -> Any | None:
            try:
                return self._database.read(staff.by_session, token)
            except Unauthorized:
                return None

        return await asyncio.to_thread(look) if token else None

    def _while_logged_in(self, token: str, send: Send) -> Send:
        """A stream of events that goes silent as soon as its session has ended."""
        looked, open_still = time.monotonic(), True

        async def sending(message: Message) -> None:
            nonlocal looked, open_still
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                with contextlib.suppress(DBAPIError):  # away: what was true a moment ago still is
                    open_still = await self._staff(token) is not None
            if open_still or message["type"] == "http.response.start":
                await send(message)
            else:
                raise _SessionEnded

        return sending


class _TooLarge(Exception):
    pass


class _SessionEnded(OSError):
    """For Starlette the client is gone."""


def _refusal(headers: Headers, path: str) -> Response | None:
    """Why a request is not answered, whoever sent it."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        return _told("这个请求来自别的网站，已拒绝。", 403)
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        return _told("这个请求来自别的网站，已拒绝。", 403)
    if path not in PUBLIC and not OURS.fullmatch(path) and not NEEDED.fullmatch(path):
        return _told("没有这个页面。", 404)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > (MAX_UPLOAD if path == "/gradio_api/upload" else MAX_BODY):
        return _told("内容太大了。", 413)
    return None


def _please_log_in(scope: Scope, headers: Headers) -> Response:
    if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        return RedirectResponse(f"/login{linked(QueryParams(scope['query_string']))}", 303)
    return _told("请先登录。", 401)


def _told(sentence: str, status: int) -> Response:
    return JSONResponse({"detail": sentence}, status)


def _bounded(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def receiving() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _TooLarge
        return message

    return receiving


def _with_headers(send: Send, path: str) -> Send:
    lasting = path.startswith("/assets/")

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            # Gradio's files have their hash in their names.
            headers["Cache-Control"] = "private, max-age=31536000, immutable" if lasting else "no-store"
            for name in [name for name in headers if name.startswith("access-control-")]:
                del headers[name]
        await send(message)

    return sending
