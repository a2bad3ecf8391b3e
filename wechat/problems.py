"""Every error of the HTTP API in one shape: application/problem+json (RFC 9457)."""

import logging
from collections.abc import Callable
from http import HTTPStatus

import orjson
from flask import Flask, Response, current_app, g
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException

from core.database import away, unwritable
from core.errors import (
    Busy,
    ChatError,
    Conflict,
    ContentBlocked,
    InvalidMessage,
    ModelError,
    ModelTimeout,
    ModelUnavailable,
    NotConfigured,
    NotFound,
    QuotaExceeded,
    Unauthorized,
    UserBlocked,
)
from wechat.wording import INTERNAL, sentence

log = logging.getLogger(__name__)

STATUS: dict[type[ChatError], int] = {
    InvalidMessage: 400,
    Unauthorized: 401,
    UserBlocked: 403,
    NotFound: 404,
    Conflict: 409,
    ContentBlocked: 422,
    QuotaExceeded: 429,
    NotConfigured: 501,
    Busy: 503,
    ModelError: 500,
    ModelTimeout: 503,
    ModelUnavailable: 503,
    ChatError: 500,
}
CONTENT_TYPE = "application/problem+json"
_COUNTED = "counted_problems"
RETRY_SECONDS = 5  # after a 503, where we know nothing better

_HTTP = {
    400: ("invalid_message", "没看懂这个请求，请检查后再发。"),
    404: ("not_found", "没有这个地址。"),
    405: ("method_not_allowed", "这个地址不支持这种请求方法。"),
    408: ("invalid_message", "请求发得太慢，没有收完。"),
    413: ("too_large", "内容太大了，请缩短后再发。"),
    415: ("unsupported_media", "不支持这种内容类型，请按接口文档发送。"),
    429: ("quota_exceeded", "有点快，请稍后再试。"),
}


def register(app: Flask, counted: Callable[[str], None]) -> None:
    """Make the app answer every error as a problem. A bug is logged with its traceback.

    `counted` is told the code of each.
    """
    app.extensions[_COUNTED] = counted
    app.register_error_handler(ChatError, of_error)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(DBAPIError, _of_database)
    app.register_error_handler(Exception, _of_bug)


def codes_by_status() -> dict[int, list[str]]:
    """Every `code` a client may meet, by the status it comes with."""
    known: dict[int, set[str]] = {}
    for kind, status in STATUS.items():
        known.setdefault(status, set()).add(kind.code)
    for status, (code, _) in _HTTP.items():
        known.setdefault(status, set()).add(code)
    return {status: sorted(codes) for status, codes in known.items()}


def of_error(error: ChatError) -> Response:
    """The problem response of an error of the engine."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    response = _problem(status, error.code, sentence(error))
    if isinstance(error, QuotaExceeded):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _of_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect
        return error.get_response()  # type: ignore[return-value]
    code, detail = _of_status(status)
    response = _problem(status, code, detail)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _of_status(status: int) -> tuple[str, str]:
    return _HTTP.get(status, ("invalid_message", _HTTP[400][1]) if status < 500 else ("internal", INTERNAL))


def outside_of_a_request(status: int, request_id: str) -> bytes:
    """The body for what is refused before the app sees a request."""
    return _body(status, *_of_status(status), request_id)


def _of_database(error: DBAPIError) -> Response:
    """A database that is away for a while, or full, is nobody's bug; a statement it refuses is ours."""
    if unwritable(error):
        log.error("the database cannot be written, is its disk full? %s", error.orig)
        return _problem(500, "internal", INTERNAL)
    if not away(error):
        return _of_bug(error)
    log.error("the database does not answer: %s", error.orig)
    return of_error(Busy("the database is away"))


def _of_bug(error: Exception) -> Response:
    log.error("a bug of ours", exc_info=error)
    return _problem(500, "internal", INTERNAL)


def _problem(status: int, code: str, detail: str) -> Response:
    if counted := current_app.extensions.get(_COUNTED):
        counted(code)
    response = Response(_body(status, code, detail, g.get("request_id", "")), status, content_type=CONTENT_TYPE)
    if status in (429, 503):
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _body(status: int, code: str, detail: str, request_id: str) -> bytes:
    return orjson.dumps(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": request_id,
        }
    )
