"""One completion: asked for, tried again until its first token, read, and left at any moment."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

import orjson

from core.errors import ContextOverflow, ModelError, ModelTimeout, ModelUnavailable
from core.messages import Delta, Usage
from core.model.endpoints import Endpoint, Endpoints
from core.model.exchange import Exchange
from core.model.sse import AnswerParser, error_of_model
from core.model.wire import Adapter, Line, Refused, translated_errors

USAGE_SECONDS, END_SECONDS = 1.0, 0.2  # what a finished answer may take for its usage; for its last chunk
ERROR_BODY_SECONDS = 2.0
LONGEST_BODY = 8 * 1024 * 1024  # of an answer that is no stream
BACKOFF_SECONDS = (0.2, 0.5, 1.0)
OUR_FAULT = (400, 413, 422)  # statuses that say nothing about the endpoint's health


@dataclass(frozen=True)
class Deadlines:
    """In seconds: `first_token` and `total` from the beginning, tries included; `idle` from token to token."""

    connect: float
    first_token: float
    idle: float
    total: float


class _Overloaded(ModelUnavailable):
    """It said in how many `seconds` it can be asked again."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Completion:
    """An answer that is asked for when it is iterated, once; see `CogitoModel.complete`."""

    def __init__(
        self, endpoints: Endpoints, adapter: Adapter, deadlines: Deadlines, tries: int, body: dict[str, Any]
    ) -> None:
        self.endpoint = self.model = ""  # of the latest try
        self._endpoints = endpoints
        self._adapter = adapter
        self._deadlines = deadlines
        self._tries = tries
        self.body = body  # what is sent, but for the model's name
        self._line = Line()
        self._parser = AnswerParser()
        self._over_by: float | None = None  # until when a finished answer may still tell its usage

    @property
    def finish_reason(self) -> str | None:
        return self._parser.finish_reason

    @property
    def usage(self) -> Usage | None:
        return self._parser.usage

    def cancel(self) -> None:
        """From any thread, at any stage: the model is left at once, and who iterates gets `Cancelled`."""
        self._line.cancel()

    def __iter__(self) -> Iterator[Delta]:
        """Each item is everything that has arrived since the one before."""
        now = time.monotonic()
        self._end = now + self._deadlines.total
        self._first_token_by = min(now + self._deadlines.first_token, self._end)
        tries = _Tries(self._endpoints, self._tries, self._first_token_by)
        while True:
            self._line.check()
            self._parser = AnswerParser()
            exchange = Exchange(self._line, self._adapter)
            endpoint = None
            try:
                endpoint = self._endpoints.pick(tries.this_round)
                yield from self._try(endpoint, exchange)
                return
            except ModelError as error:
                self._line.check()
                wait = tries.wait_after(error, endpoint, exchange, self._parser.pieces > 0)
            finally:
                exchange.leave()
            self._line.pause(wait)

    def _try(self, endpoint: Endpoint, exchange: Exchange) -> Iterator[Delta]:
        self.endpoint, self.model = endpoint.shown, endpoint.name
        with translated_errors():
            body = orjson.dumps({"model": endpoint.name, **self.body})
            request = self._adapter.request("POST", endpoint.url, endpoint.key, body)
            left = self._first_token_by - time.monotonic()
            exchange.send(request, min(self._deadlines.connect, left), left)
            if exchange.status != 200:
                raise self._refusal(exchange)
            kind = exchange.headers.get("Content-Type", "")
            deltas = self._whole(exchange) if "/json" in kind else self._stream(exchange, endpoint)
            yield from deltas
        self._endpoints.worked(endpoint)

    def _stream(self, exchange: Exchange, endpoint: Endpoint) -> Iterator[Delta]:
        parser = self._parser
        quiet_since = time.monotonic()
        while not exchange.ended:
            pieces = parser.pieces
            try:
                delta = parser.feed(exchange.read(self._patience(quiet_since)))
            except (OSError, HTTPException):
                if not parser.finished:
                    raise
                break  # nothing is missing but the end of the connection
            if parser.pieces > pieces:
                if not pieces:
                    self._endpoints.worked(endpoint)
                if delta:
                    yield delta
                quiet_since = time.monotonic()
            if parser.error:
                raise parser.error
        if delta := parser.finish():
            yield delta
        if not parser.finished:
            raise ModelError("the answer was cut off" if parser.pieces else "the model sent no answer")

    def _patience(self, quiet_since: float) -> float:
        """For how long the next byte may be waited for."""
        now = time.monotonic()
        if self._parser.finished:
            self._over_by = self._over_by or min(now + USAGE_SECONDS, self._end)
            by = min(self._over_by, now + END_SECONDS) if self._parser.done else self._over_by
        elif self._parser.pieces:
            by = min(quiet_since + self._deadlines.idle, self._end)
        else:
            by = self._first_token_by
        left = by - now
        if left <= 0:
            raise TimeoutError
        return left

    def _whole(self, exchange: Exchange) -> Iterator[Delta]:
        parser = self._parser
        delta = parser.whole(_body(exchange, self._first_token_by, LONGEST_BODY))
        if delta:
            yield delta
        if delta := parser.finish():
            yield delta

    def _refusal(self, exchange: Exchange) -> ModelError:
        """What an HTTP status other than 200 means."""
        status = exchange.status
        error: Any = None
        with suppress(OSError, ValueError):
            by = min(self._first_token_by, time.monotonic() + ERROR_BODY_SECONDS)
            answer = orjson.loads(_body(exchange, by, LONGEST_BODY))
            error = answer.get("error", answer) if isinstance(answer, dict) else None
        told = error_of_model(error)
        if isinstance(told, ContextOverflow):
            return told
        if status in (408, 429) or status >= 500:
            message = f"the model is not available (HTTP {status})"
            seconds = _retry_after(exchange.headers.get("Retry-After", ""))
            return ModelUnavailable(message) if seconds is None else _Overloaded(message, seconds)
        if status in (401, 403):
            return Refused(f"the model refused the key (HTTP {status})")
        if status in (404, 405):
            return Refused(
                f"the model is not there (HTTP {status}): MODEL_API_URL has to end in /v1/chat/completions"
            )
        return Refused(f"the model refused the request (HTTP {status})")


class _Tries:
    """Whether and when a completion that has failed is tried again."""

    def __init__(self, endpoints: Endpoints, limit: int, by: float) -> None:
        self.this_round: set[Endpoint] = set()
        self._endpoints = endpoints
        self._limit = limit
        self._by = by
        self._count = self._rounds = 0
        self._forgiven = False

    def wait_after(self, error: ModelError, endpoint: Endpoint | None, exchange: Exchange, started: bool) -> float:
        """Seconds until the next try; raises what the caller is to see when there is none."""
        died = exchange.reused and not exchange.status and not isinstance(error, ModelTimeout)
        if died and not self._forgiven:
            self._forgiven = True  # the connection had died while it was idle: no fault of this endpoint's
            return 0
        asked = error.seconds if isinstance(error, _Overloaded) else 0.0
        if endpoint and not isinstance(error, ContextOverflow) and exchange.status not in OUR_FAULT:
            self._endpoints.failed(endpoint, asked)
        if started and isinstance(error, ModelUnavailable):
            raise ModelError("the answer was cut off") from error
        self._count += 1
        endpoints = self._endpoints.all()
        final = isinstance(error, (Refused, ContextOverflow, ModelTimeout))
        if started or final or self._count >= max(self._limit, len(endpoints)):
            raise error
        if endpoint:
            self.this_round.add(endpoint)
        if any(other not in self.this_round for other in endpoints):
            return 0
        wait = max(BACKOFF_SECONDS[min(self._rounds, len(BACKOFF_SECONDS) - 1)], asked)
        if time.monotonic() + wait >= self._by:
            raise error
        self._rounds += 1
        self.this_round.clear()
        return wait


def _body(exchange: Exchange, by: float, limit: int) -> bytes:
    parts: list[bytes] = []
    while not exchange.ended:
        left = by - time.monotonic()
        if left <= 0:
            raise TimeoutError
        parts.append(exchange.read(left))
        limit -= len(parts[-1])
        if limit < 0:
            raise ModelError("the model's answer is too large")
    return b"".join(parts)


def _retry_after(value: str) -> float | None:
    """`Retry-After` is a number of seconds or a date."""
    if value.strip().isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
