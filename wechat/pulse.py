"""How late this process runs: under load a reply has to be begun earlier to be in time."""

import contextlib
import threading
import time
from collections.abc import Iterator

BEAT_SECONDS = 0.05
FADE = 0.98  # per beat: a peak is half forgotten after two seconds
SPARE_SECONDS = 0.25  # of the reply's deadline, which is some before WeChat's own
MISSED_SECONDS, MISSED_FADE = 0.05, 0.999  # what a missed deadline adds, and per beat: half forgotten after 35 s
MOST_MISSED_SECONDS = 1.5
EACH_SECONDS = 0.01  # what a decision takes while the other processes are at theirs
MOST_SECONDS = 2.0


class Pulse:
    """Watches how late a sleeper wakes, how long a decision takes to be stored, and how many are still to come."""

    def __init__(self) -> None:
        self._lag = self._deciding = self._missed = 0.0
        self._waiting = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """After a fork, not before."""
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    @property
    def margin(self) -> float:
        """By how much earlier than usual a reply should be decided.

        Those who asked at the same time are decided at the same time: of many the first begin early.
        """
        late = max(2 * self._lag + self._deciding, self._waiting * EACH_SECONDS)
        return min(MOST_SECONDS, max(0.0, late - SPARE_SECONDS) + self._missed)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what is decided at its deadline."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def decided(self, seconds: float) -> None:
        """A decision took so long."""
        self._deciding = max(self._deciding, seconds)

    def missed(self) -> None:
        """A reply came too late: the next ones are begun earlier."""
        self._missed = min(MOST_MISSED_SECONDS, self._missed + MISSED_SECONDS)

    def _run(self) -> None:
        while True:
            due = time.monotonic() + BEAT_SECONDS
            time.sleep(BEAT_SECONDS)
            self._lag = max(self._lag * FADE, time.monotonic() - due)
            self._deciding *= FADE
            self._missed *= MISSED_FADE
