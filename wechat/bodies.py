"""Reading requests and writing answers: JSON in and out, with the guards that Flask lacks."""

from datetime import UTC, datetime
from typing import Any, TypeVar

import gevent
import orjson
from flask import Response, request
from gunicorn.http.errors import ParseException
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from core.errors import InvalidField, InvalidMessage, NotFound, NotJson

BODY_SECONDS = 10  # a body that takes longer holds up nobody but its sender
MAX_BODY = 64 * 1024
NO_NUL = r"^[^\x00]*$"  # PostgreSQL cannot store it


class Body(BaseModel):
    """Base of request bodies: types are not guessed, unknown fields are passed over."""

    model_config = ConfigDict(strict=True, frozen=True)


B = TypeVar("B", bound=Body)


def read_json(kind: type[B], limit: int = MAX_BODY, optional: bool = False) -> B:
    """The request's body as a `kind`; raises InvalidMessage, or an HTTP error for size, time or media type.

    orjson refuses what `json` lets pass: bad UTF-8, lone surrogates, NaN, bottomless nesting.
    """
    if optional and not request.content_length and "Transfer-Encoding" not in request.headers:
        return kind()
    if not request.is_json:
        raise UnsupportedMediaType
    try:
        return kind.model_validate(orjson.loads(read_body(limit)))
    except orjson.JSONDecodeError as fault:
        raise NotJson(fault.msg) from None
    except ValidationError as fault:
        first = fault.errors(include_input=False, include_url=False)[0]
        raise InvalidField(".".join(map(str, first["loc"])) or "JSON", first["msg"]) from None


def read_body(limit: int, seconds: float = BODY_SECONDS) -> bytes:
    """The raw body, at most `limit` bytes of it, whether its length was announced or not.

    Read from the server directly: Werkzeug's own limit cuts a chunked body short without a word.
    """
    if (request.content_length or 0) > limit:
        raise RequestEntityTooLarge
    stream, pieces, size = request.environ["wsgi.input"], [], 0
    timeout = gevent.Timeout.start_new(seconds)
    try:
        while size <= limit and (piece := stream.read(limit + 1 - size)):
            pieces.append(piece)
            size += len(piece)
    except gevent.Timeout as late:
        if late is not timeout:
            raise
        raise RequestTimeout from None
    except (OSError, ParseException):  # the sender has gone, or cannot count
        raise InvalidMessage("the body is broken off or badly chunked") from None
    finally:
        timeout.close()
    if size > limit:
        raise RequestEntityTooLarge
    if size < (request.content_length or 0):
        raise InvalidMessage("the body ends too early")
    return b"".join(pieces)


def reply(value: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(value), status, content_type="application/json")


def parse_id(written: str) -> int:
    """A public id (a decimal string) as ours; raises NotFound for what can be none."""
    number = whole_number(written)
    if number is None:
        raise NotFound("not an id")
    return number


def whole_number(written: str) -> int | None:
    """A number that every database can hold; None for what is none."""
    if not (written.isascii() and written.isdigit() and len(written) < 20):
        return None
    number = int(written)
    return number if number < 1 << 63 else None


def parse_number(name: str, default: float, most: float) -> float:
    """A number from the query string, between 0 and `most`; raises InvalidMessage."""
    written = request.args.get(name)
    if written is None:
        return default
    try:
        number = float(written)
    except ValueError:
        raise InvalidField(name, "no number") from None
    if not 0 <= number < float("inf"):
        raise InvalidField(name, "out of range")
    return min(number, most)


def iso(milliseconds: int) -> str:
    """A stored time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
