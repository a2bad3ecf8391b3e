"""Figures for Prometheus.

What happens is counted in files that all processes of one port share (prometheus_client's multiprocess mode), so
whichever worker is asked tells the figures of all of them. What *is* (how many wait, how many are written) is asked
of the database, which knows it for every machine.
"""

import atexit
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from core.database import Database
from core.liveness import host_id, start_of
from core.store import writing
from core.store.writing import Outcome
from core.tables import DeliveryRow, SilenceRow, now_ms

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported
_FIRST_TOKEN = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60)
_UNFINISHED = ("new", "rest", "push", "undeliverable")
_DURATION = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)


def share() -> None:
    """Make a folder for the figures of this process and all that it forks; to be called before any is made."""
    here = f"chat-metrics-{zlib.crc32(host_id().encode()):08x}"
    for left in glob(os.path.join(tempfile.gettempdir(), f"{here}-*")):
        pid = left.split("-")[-2]
        if pid.isdigit() and start_of(int(pid)) is None:  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f"{here}-{os.getpid()}-")
    os.environ[FOLDER] = folder
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a worker's end is not the end
        shutil.rmtree(folder, ignore_errors=True)


class Metrics:
    """The figures of one process, and (where a folder is shared) of those beside it."""

    def __init__(self, database: Database, endpoints: Callable[[], list[Any]]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._database = database
        self._endpoints = endpoints
        self._registry = registry = CollectorRegistry()
        self._turns = Counter("chat_turns", "Answers that ended", ["channel", "status"], registry=registry)
        self._failures = Counter("chat_turn_errors", "Answers failed or blocked", ["code"], registry=registry)
        self._refusals = Counter("chat_http_errors", "Requests answered with errors", ["code"], registry=registry)
        self._first_token = Histogram(
            "chat_first_token_seconds", "From the claim to the first token", buckets=_FIRST_TOKEN, registry=registry
        )
        self._duration = Histogram(
            "chat_answer_seconds", "From the claim to the end", buckets=_DURATION, registry=registry
        )
        self._tokens = Counter("chat_tokens", "Tokens as the model counts them", ["kind"], registry=registry)
        about = "Deliveries of the official account, and what became of them"
        self._deliveries = Counter("chat_deliveries", about, ["outcome"], registry=registry)
        self._messages = Counter(
            "chat_customer_service_messages", "Messages pushed to followers", ["result"], registry=registry
        )
        self._failing = Gauge(
            "chat_model_endpoint_failures",
            "Failures in a row, in the process that has seen most",
            ["url"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._cooling = Gauge(
            "chat_model_endpoint_cooling_seconds",
            "How long it is left alone, in the process that leaves it alone longest",
            ["url"],
            registry=registry,
            multiprocess_mode="livemax",
        )

    # What happens

    def turn_ended(self, turn: Any, outcome: Outcome) -> None:
        """An answer was stored."""
        self._turns.labels(turn.channel, outcome.status).inc()
        if outcome.code:
            self._failures.labels(outcome.code).inc()
        if outcome.first_token_ms is not None:
            self._first_token.observe(outcome.first_token_ms / 1000)
        if outcome.duration_ms is not None:
            self._duration.observe(outcome.duration_ms / 1000)
        if outcome.prompt_tokens:
            self._tokens.labels("prompt").inc(outcome.prompt_tokens)
        if outcome.completion_tokens:
            self._tokens.labels("completion").inc(outcome.completion_tokens)

    def refused(self, code: str) -> None:
        """A request was answered with an error."""
        self._refusals.labels(code).inc()

    def delivered(self, outcome: str) -> None:
        """WeChat delivered a push, which was `answered`, `refused`, or left `silent` on purpose."""
        self._deliveries.labels(outcome).inc()

    def messaged(self, result: str) -> None:
        """A customer-service message was `sent`, or failed with this error code."""
        self._messages.labels(result).inc()

    # Told

    def told(self) -> tuple[bytes, str]:
        """Everything in Prometheus' own format, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        for endpoint in self._endpoints():
            self._failing.labels(endpoint["url"]).set(endpoint["failures"])
            self._cooling.labels(endpoint["url"]).set(endpoint["cooling_seconds"])
        happened, folder = self._registry, os.environ.get(FOLDER)
        if folder:
            _forget_dead_processes(folder)
            happened = CollectorRegistry()
            MultiProcessCollector(happened, folder)  # type: ignore[no-untyped-call]
        return generate_latest(happened) + generate_latest(self._now()), CONTENT_TYPE_LATEST

    def _now(self) -> Any:
        from prometheus_client import CollectorRegistry
        from prometheus_client.core import GaugeMetricFamily

        waiting, written = self._database.read(writing.count_open)
        deliveries, silences = self._database.read(_deliveries)

        class Now:
            def collect(self) -> Iterator[Any]:
                yield GaugeMetricFamily("chat_turns_waiting", "Questions that wait for a writer", waiting)
                yield GaugeMetricFamily("chat_turns_being_written", "Answers being written", written)
                about = "Messages of followers whose answers have not been shown to the end"
                family = GaugeMetricFamily("chat_deliveries_unfinished", about, labels=["state"])
                for state, count in deliveries.items():
                    family.add_metric([state], count)
                yield family
                about = "Deliveries left unanswered on purpose in the last five minutes"
                yield GaugeMetricFamily("chat_deliveries_silent", about, silences)

        registry = CollectorRegistry()
        registry.register(Now())
        return registry


def _deliveries(connection: Connection) -> tuple[dict[str, int], int]:
    query = select(DeliveryRow.state, func.count()).where(DeliveryRow.state.in_(_UNFINISHED))
    counts = {state: count for state, count in connection.execute(query.group_by(DeliveryRow.state))}
    silences = select(func.count()).where(SilenceRow.at > now_ms() - 300_000)
    return {state: counts.get(state, 0) for state in _UNFINISHED}, connection.execute(silences).scalar_one()


def _forget_dead_processes(folder: str) -> None:
    """What a process was doing ends with it; what it has counted stays."""
    for name in glob(os.path.join(folder, "gauge_live*_*.db")):
        pid = Path(name).stem.rpartition("_")[2]
        if pid.isdigit() and start_of(int(pid)) is None:
            Path(name).unlink(missing_ok=True)
