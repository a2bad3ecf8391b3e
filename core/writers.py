"""All that this process writes, and its tick: the one place of background work with the database.

Twice a second, in one thread: show that we live and see who died; save the answers that grew; heed stop requests;
fetch the answers that are awaited here and written elsewhere; look whether staff changed something; claim turns
that wait for a writer. A turn waits because its process died, was shut down or was full, or because an earlier
question of its conversation was being answered; the claim is the same for all of them.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from core.answers import Answers, LiveAnswer
from core.database import Database
from core.history import WritingSpeed
from core.live import LiveContent
from core.liveness import Observer, start_of
from core.model import CogitoModel
from core.model.source import ModelSource
from core.prompting import Prompting
from core.screening import NoScreening, Screening
from core.settings import Settings
from core.store import processes, turns, writing
from core.store.turns import Fresh, Status
from core.store.writing import MAX_ATTEMPTS, Progress
from core.tables import new_id
from core.writer import OnEnd, Workshop, Writer

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
EARLY_TICK_SECONDS = 0.02  # at the soonest, when the end of an answer makes room for the next
CROWD, THRONG = 50, 400  # answers being written at once from which on deltas are gathered, and gathered for longer
SAVE_EVERY_TICK = 250  # answers that may be saved at each tick; with four times as many, at each fourth
SAVE_BATCH = 100  # answers in one transaction
QUEUE_LOOK = 1000  # waiting turns looked at in one tick
ORPHAN_TICKS = 60


class Writers:
    """Claims turns and writes them, at most as many at once as the model can take.

    With `only_channel` it takes none over from other processes but those of that channel.
    """

    def __init__(
        self,
        database: Database,
        model: CogitoModel,
        source: ModelSource,
        live: LiveContent,
        settings: Settings,
        screening: Screening | None = None,
        on_end: OnEnd | None = None,
        only_channel: str | None = None,
    ) -> None:
        self.answers = Answers()
        self.speed = WritingSpeed()
        self.draining = False
        self._database = database
        self._source = source
        self._live = live
        self._settings = settings
        self._only_channel = only_channel
        prompting = Prompting(database, live, source, settings)
        self._shop = Workshop(
            database=database,
            model=model,
            prompting=prompting,
            live=live,
            speed=self.speed,
            settings=settings,
            pause=self._pause,
            left=self._left,
            screening=screening or NoScreening(),
            on_end=on_end,
        )
        self._running: dict[int, Writer] = {}
        self._reserved = 0
        self._reserving = threading.Lock()
        self._queued = 0  # turns that wait for a writer, as far as we know
        self._backlog = 0  # of them, those that wait for room and nothing else
        self._waiting_since: dict[int, float] = {}
        self._observer = Observer()
        self._id = 0
        self._ticks = 0
        self._strays: set[int] = set()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._database_away = False
        self.each_tick: list[Callable[[], None]] = []  # what others do at every tick: short things

    # What the engine asks for

    @contextlib.contextmanager
    def slot(self) -> Iterator[int | None]:
        """A place for one more writer while a question is being accepted: our process id, or None if it must wait.

        Those who wait already come first.
        """
        with self._reserving:
            full = self.draining or self._backlog or self._room() <= 0
            self._reserved += not full
        if full:
            yield None
            return
        try:
            yield self._id
        finally:
            with self._reserving:
                self._reserved -= 1

    def accepted(self, turn: Any) -> LiveAnswer:
        """The answer to a turn just stored: begun at once if the turn is ours, else waited for."""
        answer = self.answers.of(turn)
        begins = isinstance(turn, Fresh)  # whoever repeats a request only looks at what the first one began
        if begins and turn.status == "answering" and turn.writer == self._id:
            self._begin(turn, answer)
        elif turn.status == "queued":
            self._queued += 1
            self._wake.set()
        return answer

    def stop(self, turn_id: int) -> None:
        """Stop an answer, whichever process writes it; a waiting one ends at once."""
        writer = self._running.get(turn_id)
        if writer is not None:
            writer.cancel("stopped")
        elif (turn := self._database.write(_stop, turn_id)) is not None:
            self.answers.of(turn)
            self._ended_unwritten(turn, "stopped", None)

    @property
    def process_id(self) -> int:
        """Who we are among the processes, now."""
        return self._id

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def queued(self) -> int:
        """Turns of all processes that wait, as of the last tick."""
        return self._queued

    # The life of the process

    def start(self) -> None:
        """Register this process and begin to tick (after a fork, not before)."""
        for row in self._database.read(turns.recent_speed):
            self.speed.learn(len(row.answer) + len(row.reasoning), (row.duration_ms - row.first_token_ms) / 1000)
        self._live.refresh()
        self._register()
        self._thread = threading.Thread(target=self._run, name="tick", daemon=True)
        self._thread.start()

    def drain(self, seconds: float) -> None:
        """Take nothing new, finish what is being written, then hand the rest to others and end.

        Readers of unfinished answers are sent away: they resume with another process.
        """
        self.draining = True
        self._wake.set()
        give_up = time.monotonic() + seconds
        while self._running and time.monotonic() < give_up:
            self._ended.wait(0.05)
        unfinished = list(self._running.values())
        for writer in unfinished:
            writer.cancel("released")
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(TICK_SECONDS * 4)
        released = self._database.write(_leave, self._id)
        self.answers.interrupt()
        if released:
            log.info("handed %s unfinished answers over", released)

    def _register(self) -> None:
        process_id = new_id()
        started = start_of(os.getpid()) or ""
        self._database.write(processes.register, process_id, self._observer.host, os.getpid(), started)
        self._id = process_id

    def _begin(self, turn: Any, answer: LiveAnswer) -> None:
        writer = Writer(self._shop, self._id, turn, answer)
        self._running[turn.id] = writer
        writer.start()

    def _left(self, writer: Writer) -> None:
        if self._running.get(writer.turn.id) is writer:
            del self._running[writer.turn.id]
        if self._queued:
            self._wake.set()

    def _room(self) -> int:
        return self._source.facts().max_concurrent - len(self._running) - self._reserved

    def _pause(self) -> float:
        """Seconds a writer gathers before it publishes again: longer the more there are, so that the hub keeps up."""
        running = len(self._running)
        return 0.0 if running <= CROWD else self._settings.stream_pace_ms / 1000 * max(1.0, running / THRONG)

    # The tick

    def _run(self) -> None:
        next_full = time.monotonic()
        while not self._ended.is_set():
            try:
                if time.monotonic() >= next_full:
                    next_full = time.monotonic() + TICK_SECONDS
                    self._tick()
                else:
                    self._claim()
                if self._database_away:
                    self._database_away = False
                    log.warning("the database is back")
            except DBAPIError as fault:
                if not self._database_away:
                    self._database_away = True
                    log.error("the database does not answer, or cannot be written: %s", fault.orig)
            except Exception:
                log.exception("the tick failed by a bug of ours")
            self._ended.wait(EARLY_TICK_SECONDS)
            self._wake.wait(max(0.0, next_full - time.monotonic()))
            self._wake.clear()

    def _tick(self) -> None:
        self._ticks += 1
        self._beat()
        self._save()
        for turn_id in self._database.read(writing.stops_requested, self._id):
            self.stop(turn_id)
        self._fetch()
        self._live.refresh()
        self._bury()
        self._claim()
        for work in self.each_tick:
            work()

    def _beat(self) -> None:
        if self._database.write(processes.beat, self._id, "draining" if self.draining else "running"):
            return
        # We were silent for so long (paused, cut off) that others took our turns: begin anew.
        log.warning("taken for dead by the others; giving up %s answers", len(self._running))
        for writer in list(self._running.values()):
            writer.cancel("lost")
        self._register()
        self._database.write(writing.requeue_orphans)

    def _save(self) -> None:
        """Store what grew, for those who look from another process; less often where there is much to store."""
        if self._ticks % max(1, len(self._running) // SAVE_EVERY_TICK):
            return
        grown = [progress for writer in list(self._running.values()) if (progress := writer.progress())]
        for start in range(0, len(grown), SAVE_BATCH):
            self._save_batch(grown[start : start + SAVE_BATCH])

    def _save_batch(self, batch: Sequence[Progress]) -> None:
        lost = self._database.write_aside(
            lambda connection: writing.save(connection, self._id, batch), one_statement=True
        )
        for turn_id in lost:
            if (writer := self._running.get(turn_id)) and not writer.answer.final:
                writer.cancel("lost")

    def _fetch(self) -> None:
        awaited = self.answers.awaited()
        if not awaited:
            return
        known = {key: (one.state.attempt, one.version, one.state.status) for key, one in awaited.items()}
        for row in self._database.read(writing.moved, known):
            awaited[row.id].update(row)

    def _bury(self) -> None:
        """Put the turns of dead processes back into the queue."""
        rows = self._database.read(processes.everyone)
        for row in self._observer.dead(rows):
            if row.id != self._id and (count := self._database.write(_bury, row.id, row.beat)) is not None:
                log.warning("process %s on %s is dead; %s answers are taken over", row.pid, row.host, count)
        if self._ticks % ORPHAN_TICKS == 1:
            self._database.write(writing.requeue_orphans)
            self._requeue_strays()

    def _requeue_strays(self) -> None:
        """Put back what is in our name though nobody writes it: no bug of ours may leave a question unanswered."""
        mine = {row.id for row in self._database.read(writing.written_by, self._id)}
        nobody = mine - self._running.keys()
        for turn_id in nobody & self._strays:  # seen twice: the first time it may just have begun or ended
            log.error("turn %s was lost by its writer and is queued again", turn_id)
            self._database.write(writing.release, self._id, turn_id)
        self._strays = nobody

    def _claim(self) -> None:
        self._queued = self._database.read(writing.count_queued)
        if not self._queued or self.draining:
            self._backlog = 0
            self._waiting_since.clear()
            return
        waiting = self._database.read(writing.claimable, QUEUE_LOOK)
        if self._only_channel:
            waiting = [row for row in waiting if row.channel == self._only_channel]
        room = max(0, self._room())
        self._backlog = len(waiting[room:])
        if room and waiting:
            for turn in self._database.write(_claim_all, waiting[:room], self._id):
                self._queued -= 1
                self._begin(turn, self.answers.of(turn))
        self._give_up_late(waiting[room:])

    def _give_up_late(self, waiting: Sequence[Any]) -> None:
        """Nobody had time for these; by our own clock, so that a clock that is set hurts nobody."""
        now = time.monotonic()
        self._waiting_since = {row.id: self._waiting_since.get(row.id, now) for row in waiting}
        for row in waiting:
            # A follower's question is never refused for fullness: its answer is asked for later anyway.
            late = now - self._waiting_since[row.id] > self._settings.model_max_wait_seconds
            if not late or row.channel == "official":
                continue
            if self._database.write(writing.end_queued, row.id, row.attempt, "failed", "busy"):
                self._ended_unwritten(row, "failed", "busy")

    def _ended_unwritten(self, turn: Any, status: Status, code: str | None) -> None:
        if self._shop.on_end is not None:
            self._shop.on_end(turn, writing.Outcome(status, "", "", code))


def _claim_all(connection: Connection, waiting: Sequence[Any], process_id: int) -> list[Any]:
    claimed = []
    for row in waiting:
        if row.attempt >= MAX_ATTEMPTS:
            writing.end_queued(connection, row.id, row.attempt, "failed", "model_error")
        elif (turn := writing.claim(connection, row.id, row.attempt, process_id)) is not None:
            claimed.append(turn)
    return claimed


def _bury(connection: Connection, process_id: int, beat: int) -> int | None:
    """Remove a process if it still is silent and requeue its turns; how many, or None if it lives or is gone."""
    if not processes.remove(connection, process_id, beat):
        return None
    return writing.release(connection, process_id)


def _leave(connection: Connection, process_id: int) -> int:
    released = writing.release(connection, process_id)
    processes.remove(connection, process_id)
    return released


def _stop(connection: Connection, turn_id: int) -> Any | None:
    """End a waiting turn, or ask its writer to; the turn's row if it has ended by that."""
    turn = turns.get(connection, turn_id)
    if turn.status == "queued" and writing.end_queued(connection, turn_id, turn.attempt, "stopped", None):
        return turns.get(connection, turn_id)
    writing.request_stop(connection, turn_id)
    return None
