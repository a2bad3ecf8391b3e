"""A line in the log for every request, written when its last byte is out."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from core import logs

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(logs.ACCESS)

CHATTER = ("/health", "/ready", "/metrics")  # asked every few seconds by machines
LONGEST_PATH = 300


class AccessLog:
    """WSGI middleware. The query is left out: it may hold WeChat's signature or a token.

    Status 0 is a delivery of WeChat's that was left unanswered on purpose. `ended` is told the method, path and
    status of each.
    """

    def __init__(self, app: "WSGIApplication", ended: Callable[[str, str, int], None] | None = None) -> None:
        self._app = app
        self._ended = ended

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        logs.forget()  # of the request before, on the same connection
        began = time.perf_counter()
        status = "500"

        def start(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status
            status = line
            return start_response(line, headers, exc_info)

        def tell(silent: bool = False) -> None:
            code, path = 0 if silent else int(status[:3]), environ.get("PATH_INFO", "")
            if self._ended is not None:
                self._ended(environ.get("REQUEST_METHOD", ""), path, code)
            level = logging.DEBUG if path in CHATTER and code < 400 else logging.INFO
            if not log.isEnabledFor(level):
                return
            fields = {
                "method": environ.get("REQUEST_METHOD", ""),
                "path": path.encode("latin-1", "replace").decode(errors="replace")[:LONGEST_PATH],
                "status": code,
                "ms": round((time.perf_counter() - began) * 1000, 1),
                "ip": environ.get("REMOTE_ADDR", ""),
            }
            log.log(level, "request", extra={"fields": fields})

        try:
            answer = self._app(environ, start)
        except BaseException:
            tell()
            raise
        return _Watched(answer, tell)


class _Watched:
    """The pieces of an answer; says at their end whether they broke off before the first."""

    def __init__(self, answer: Iterable[bytes], tell: Callable[[bool], None]) -> None:
        self._answer = answer
        self._pieces = iter(answer)
        self._tell = tell
        self._begun = self._broken = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            raise
        except BaseException:
            self._broken = True
            raise
        self._begun = True
        return piece

    def close(self) -> None:
        try:
            if hasattr(self._answer, "close"):
                self._answer.close()
        finally:
            self._tell(self._broken and not self._begun)
