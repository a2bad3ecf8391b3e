"""The daily job: clear what is older than it may be kept. One process does it, whichever looks first."""

import logging
import threading
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from core.database import Database
from core.settings import Settings
from core.store import jobs, retention
from core.tables import now_ms

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
QUIET_HOUR = 4  # of the night: the day of the job begins here
PAUSE_SECONDS = 0.05  # between two slices, so that others get their turn
JOB = "daily"


class Chores:
    """`look` is called by the tick of every process, and costs nothing most of the time."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._look_at = 0.0
        self._done_on = 0

    def look(self) -> None:
        """Begin the job of the day in a thread of its own, unless that was done already."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        day = (datetime.now(ZoneInfo(self._settings.timezone)) - timedelta(hours=QUIET_HOUR)).toordinal()
        if day == self._done_on:
            return
        if self._database.write(jobs.claim, JOB, day, every=1):
            threading.Thread(target=self._run, args=(day,), name="daily job", daemon=True).start()
        self._done_on = day

    def _run(self, day: int) -> None:
        try:
            log.info("the daily job is done; cleared: %s", self.clear() or "nothing")
        except Exception:
            log.exception("the daily job failed; it is tried again in a minute")
            self._done_on = 0
            self._database.write(jobs.give_back, JOB, day)

    def clear(self) -> dict[str, int]:
        """Clear everything that is too old, slice by slice; how many rows of each table."""
        now, days = now_ms(), self._settings.retention_days
        steps = retention.of_sessions(now)
        if days:
            steps += retention.of_content(now - days * 86_400_000)
        cleared = {}
        for name, step in steps:
            count = self._clear(step)
            if count:
                cleared[name] = count
        return cleared

    def _clear(self, step: retention.Step) -> int:
        total = 0
        while gone := self._database.write_aside(step):
            total += gone
            if gone < retention.SLICE:
                break
            time.sleep(PAUSE_SECONDS)
        return total
