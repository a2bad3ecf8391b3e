"""How long an answer will still take, judged by how long the latest ones took, whichever process wrote them."""

import threading
import time

from sqlalchemy import Connection, select

from core.answers import LiveAnswer
from core.database import Database
from core.tables import TurnRow, now_ms

LOOK_SECONDS = 3.0  # how long what we know of the latest answers stays true
UNKNOWN_SECONDS = 20.0
SAMPLE = 40


class Waiting:
    """Estimates; wrong ones cost a follower one more 继续, nothing else."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._look_at = float("-inf")
        self._durations: list[float] = []

    def seconds_left(self, answer: LiveAnswer) -> float | None:
        """None where nothing is known yet."""
        durations = self._latest()
        if not durations:
            return None
        usual = durations[len(durations) // 2]
        if answer.state.status == "queued":
            return 2 * usual
        elapsed: float = (now_ms() - answer.turn.created_at) / 1000
        longer = [seconds for seconds in durations if seconds > elapsed]
        # Among answers that took longer than this one has so far, the middle one.
        return longer[(len(longer) - 1) // 2] - elapsed if longer else max(2.0, elapsed / 2)

    def told(self, answer: LiveAnswer) -> float:
        """For people: a number in any case."""
        left = self.seconds_left(answer)
        return UNKNOWN_SECONDS if left is None else left

    def _latest(self) -> list[float]:
        with self._lock:
            due = time.monotonic() > self._look_at
            if due:
                self._look_at = time.monotonic() + LOOK_SECONDS
        if due:
            self._durations = self._database.read(_durations)
        return self._durations


def _durations(connection: Connection) -> list[float]:
    """Of the latest whole answers, in seconds, shortest first."""
    latest = (
        select(TurnRow.duration_ms)
        .where(TurnRow.status == "done", TurnRow.duration_ms.is_not(None))
        .order_by(TurnRow.id.desc())
        .limit(SAMPLE)
    )
    return sorted((milliseconds or 0) / 1000 for milliseconds in connection.execute(latest).scalars())
