"""How late this process runs: under load a reply has to be begun earlier to be in time."""

import threading
import time

BEAT_SECONDS = 0.05
FADE = 0.98  # per beat: a peak is half forgotten after two seconds
SPARE_SECONDS = 0.25  # of the reply's deadline, which is some before WeChat's own
MOST_SECONDS = 2.0


class Pulse:
    """Watches how late a sleeper wakes and how long a decision takes to be stored."""

    def __init__(self) -> None:
        self._lag = self._deciding = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """After a fork, not before."""
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    @property
    def margin(self) -> float:
        """By how much earlier than usual a reply should be decided."""
        return min(MOST_SECONDS, max(0.0, 2 * self._lag + self._deciding - SPARE_SECONDS))

    def decided(self, seconds: float) -> None:
        """A decision took so long."""
        self._deciding = max(self._deciding, seconds)

    def _run(self) -> None:
        while True:
            due = time.monotonic() + BEAT_SECONDS
            time.sleep(BEAT_SECONDS)
            self._lag = max(self._lag * FADE, time.monotonic() - due)
            self._deciding *= FADE
