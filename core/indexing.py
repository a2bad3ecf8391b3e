"""The indexer: enters turns into what they are found by, and counts them, beside everything else that goes on.

It runs in the console's process, in a thread; of several consoles one does it at a time. What it writes it has
prepared before it takes SQLite's lock, and it takes as much at once as can be written in a moment.
"""

import logging
import threading
import time
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from core.database import Database
from core.settings import Settings
from core.store import figures, jobs, turnindex
from core.tables import TurnRow, id_at, now_ms, time_of

log = logging.getLogger(__name__)

LEASE_MS = 10_000  # how long a look is ours; the next one is after that
WORK_SECONDS = 8.0  # of it
SMALLEST_SLICE, LARGEST_SLICE = 50, 500  # turns in one transaction
BRIEF_SECONDS = 0.04  # that a transaction may last
PAUSE_SECONDS = 0.01  # between two
JOB = "indexing"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the indexer has come. What is newer is found, too, but slower the more there is of it."""

    upto: int  # everything asked before (milliseconds since 1970) can be found
    share: float  # of everything that there is, from 0 to 1


class Indexer:
    """`look` does what is due; `start` has a thread do so until `stop`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._slice = SMALLEST_SLICE if database.dialect == "sqlite" else LARGEST_SLICE
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the transaction that is being written."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.look()
            except Exception:
                log.exception("the indexer failed; it is tried again in a moment")
            self._stopped.wait(LEASE_MS / 1000 + 0.1)

    def look(self, seconds: float = WORK_SECONDS) -> bool:
        """Do what is due, for so long at most; whether there was nothing left to do, here or elsewhere."""
        if not self._database.write(jobs.claim, JOB, now_ms(), every=LEASE_MS):
            return True
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stopped.is_set():
            # One after the other: a long way behind, both get on.
            if not any([self._index(), self._count()]):
                return True
            time.sleep(PAUSE_SECONDS)
        return False

    def _index(self) -> bool:
        """Enter a slice of turns; False if there was none."""
        piece = self._database.read(turnindex.next_slice, self._slice)
        if not piece.turns:
            return False
        began = time.monotonic()
        self._database.write(turnindex.enter, piece, self._settings.timezone)
        if self._database.dialect == "sqlite":  # where everybody who writes waits for it
            change = BRIEF_SECONDS / (time.monotonic() - began + 0.001)
            changed = int(self._slice * min(1.2, max(0.7, change)))
            self._slice = min(LARGEST_SLICE, max(SMALLEST_SLICE, changed))
        return True

    def _count(self) -> bool:
        """Count slots that are over, or one of those that have changed; False if there was none."""
        slots = self._database.read(figures.next_slots)
        if slots is None:
            return False
        measured = self._database.read(figures.measure, *slots)
        self._database.write(figures.store, measured, *slots, self._settings.timezone)
        return True

    def progress(self) -> Progress:
        """How far it has come, whichever process does it."""
        return self._database.read(progress)


def progress(connection: Connection) -> Progress:
    """How far the indexer has come."""
    first, last = connection.execute(select(func.min(TurnRow.id), func.max(TurnRow.id))).one()
    if first is None:
        return Progress(now_ms(), 1.0)
    # What is too new to be entered holds nothing up.
    last = min(last, id_at(now_ms() - turnindex.LATE_MS))
    reached = turnindex.reached(connection)
    share = 1.0 if reached >= last or last <= first else max(0.0, (reached - first) / (last - first))
    if reached >= last:
        return Progress(now_ms() - turnindex.LATE_MS, share)
    # Where little is asked, the turn entered last may be of yesterday, and nothing is missing up to the next one.
    following = connection.execute(select(func.min(TurnRow.id)).where(TurnRow.id > reached)).scalar()
    return Progress(min(time_of(following or last), now_ms() - turnindex.LATE_MS), share)
