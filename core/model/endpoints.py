"""Where the model is served: several endpoints take turns, and one that fails rests for a while."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypedDict
from urllib.parse import urlsplit

from core.errors import ModelUnavailable

FIRST_REST, LONGEST_REST = 1.0, 30.0


@dataclass(frozen=True)
class Endpoint:
    """The full URL of a `/v1/chat/completions`, the key it wants (or ""), the model's name there."""

    url: str
    key: str
    name: str

    @property
    def shown(self) -> str:
        """The URL without what may be secret in it."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


class EndpointState(TypedDict):
    url: str
    cooling_seconds: float
    failures: int  # in a row


@dataclass
class _Health:
    failures: int = 0
    rests_until: float = 0.0


class Endpoints:
    def __init__(self, source: Callable[[], Sequence[Endpoint]] | Sequence[Endpoint]) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._health: dict[str, _Health] = {}
        self._turn = 0

    def all(self) -> Sequence[Endpoint]:
        """As they are now: the embedded engine has another address after each start."""
        return self._source() if callable(self._source) else self._source

    def pick(self, tried: Collection[Endpoint] = ()) -> Endpoint:
        """The next in turn that was not tried and does not rest; if all rest, the one that is up soonest."""
        endpoints = self.all()
        left = [endpoint for endpoint in endpoints if endpoint not in tried] or endpoints
        if not left:
            raise ModelUnavailable("the model is not running")
        if len(left) == 1:
            return left[0]
        now = time.monotonic()
        with self._lock:
            self._turn += 1
            in_turn = [left[(self._turn + n) % len(left)] for n in range(len(left))]
            chosen = min(in_turn, key=lambda endpoint: max(now, self._of(endpoint).rests_until))
            health = self._of(chosen)
            if health.failures:  # one call finds out whether it works again, the others need not wait for that
                health.rests_until = now + LONGEST_REST
            return chosen

    def failed(self, endpoint: Endpoint, at_least: float = 0) -> None:
        with self._lock:
            if len(self._health) > 32:
                self._health.clear()
            health = self._health.setdefault(endpoint.url, _Health())
            health.failures += 1
            rest = max(FIRST_REST * 2 ** min(health.failures - 1, 5), at_least)
            health.rests_until = time.monotonic() + min(rest, LONGEST_REST)

    def worked(self, endpoint: Endpoint) -> None:
        if endpoint.url in self._health:
            with self._lock:
                self._health.pop(endpoint.url, None)

    def state(self) -> list[EndpointState]:
        endpoints = self.all()
        now = time.monotonic()
        with self._lock:
            health = [(endpoint, self._of(endpoint)) for endpoint in endpoints]
        return [
            {"url": e.shown, "cooling_seconds": max(0.0, h.rests_until - now), "failures": h.failures}
            for e, h in health
        ]

    def _of(self, endpoint: Endpoint) -> _Health:
        return self._health.get(endpoint.url) or _Health()
