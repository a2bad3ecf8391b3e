import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from core import liveness
from core.database import Database
from core.liveness import LONGEST_STEP, Observer, host_id, start_of
from core.store import processes
from tests.server import wait_until
from tests.stores import in_threads, second_process


@dataclass(frozen=True)
class Row:
    """A row of `processes`, as an observer reads it."""

    id: int = 1
    beat: int = 0
    host: str = "elsewhere"
    pid: int = 4711
    started: str = "then"


class Clock:
    """A monotonic clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(liveness, "time", clock)
    return clock


def watch(observer: Observer, clock: Clock, seconds: float, *rows: Row, step: float = 0.5) -> list[Row]:
    """Look at these rows every `step` for so long; who is dead at the last look."""
    dead: list[Row] = []
    for _ in range(round(seconds / step)):
        clock.now += step
        dead = observer.dead(rows)
    return dead


# ---- Beats


def test_a_process_is_dead_when_its_beat_has_stood_still_for_six_seconds(clock: Clock) -> None:
    observer, row = Observer(), Row()
    assert observer.dead([row]) == []
    assert watch(observer, clock, 5.5, row) == []
    assert watch(observer, clock, 0.5, row) == [row]


def test_a_process_whose_beat_moves_lives_however_slowly_it_does(clock: Clock) -> None:
    observer = Observer()
    observer.dead([Row()])
    for beat in range(20):
        assert watch(observer, clock, 5.5, Row(beat=beat)) == []


def test_any_change_of_the_beat_is_a_sign_of_life(clock: Clock) -> None:
    observer = Observer()
    observer.dead([Row(beat=100)])
    assert watch(observer, clock, 5.5, Row(beat=100)) == []
    assert watch(observer, clock, 5.5, Row(beat=1)) == []  # it began anew


def test_each_process_is_watched_by_itself(clock: Clock) -> None:
    observer, silent = Observer(), Row(id=2)
    observer.dead([Row(), silent])
    for beat in range(1, 13):
        dead = watch(observer, clock, 0.5, Row(beat=beat), silent)
    assert dead == [silent]


def test_who_appears_silent_gets_the_whole_time(clock: Clock) -> None:
    observer, late = Observer(), Row(id=2)
    observer.dead([])
    watch(observer, clock, 60)
    assert observer.dead([late]) == []
    assert watch(observer, clock, 5.5, late) == []
    assert watch(observer, clock, 0.5, late) == [late]


def test_an_observer_that_was_paused_takes_nobody_for_dead(clock: Clock) -> None:
    observer, row = Observer(), Row()
    observer.dead([row])
    clock.now += 3600  # SIGSTOP, a suspended laptop, a database that was away: it has seen nothing of it
    assert observer.dead([row]) == []
    assert watch(observer, clock, 6 - LONGEST_STEP - 0.5, row) == []
    assert watch(observer, clock, 0.5, row) == [row]


def test_an_observer_that_sees_rarely_needs_as_many_looks_as_seconds(clock: Clock) -> None:
    observer, row = Observer(), Row()
    observer.dead([row])
    looks = 0
    while not observer.dead([row]):
        clock.now += 30
        looks += 1
    assert looks == 6


# ---- On the same host


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def here(pid: int) -> Row:
    started = start_of(pid)
    assert started is not None
    return Row(host=host_id(), pid=pid, started=started)


def test_a_process_that_is_gone_is_dead_at_once_on_its_own_host_and_in_time_elsewhere(
    child: "subprocess.Popen[bytes]",
) -> None:
    row = here(child.pid)
    elsewhere = replace(row, id=2, host="elsewhere")
    observer = Observer()
    assert observer.dead([row, elsewhere]) == []
    child.kill()
    child.wait()
    assert observer.dead([row, elsewhere]) == [row]


def test_a_zombie_is_dead(child: "subprocess.Popen[bytes]") -> None:
    row = here(child.pid)
    os.kill(child.pid, signal.SIGKILL)

    def state() -> str:
        return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]

    wait_until(lambda: state() == "Z")  # nobody has waited for it yet
    assert start_of(child.pid) is None
    assert Observer().dead([row]) == [row]


def test_another_process_with_the_same_pid_is_not_the_one_that_died(child: "subprocess.Popen[bytes]") -> None:
    row = replace(here(child.pid), started="12345")
    assert Observer().dead([row]) == [row]


def test_a_paused_process_is_not_gone(child: "subprocess.Popen[bytes]") -> None:
    row = here(child.pid)
    os.kill(child.pid, signal.SIGSTOP)
    try:
        assert Observer().dead([row]) == []
    finally:
        os.kill(child.pid, signal.SIGCONT)


def test_the_start_of_a_process_stays_the_same_and_differs_from_that_of_a_later_one(
    child: "subprocess.Popen[bytes]",
) -> None:
    assert start_of(os.getpid()) == start_of(os.getpid()) != start_of(child.pid)
    assert start_of(2**22 + 1) is None  # beyond the largest pid there can be


def test_a_name_full_of_brackets_and_spaces_hides_nothing(tmp_path: Path) -> None:
    program = tmp_path / ") Z 1 (a b"
    program.symlink_to(sys.executable)
    with subprocess.Popen([str(program), "-c", "input()"], stdin=subprocess.PIPE, cwd=tmp_path) as process:
        wait_until(lambda: program.name in Path(f"/proc/{process.pid}/stat").read_text())
        started = start_of(process.pid)
        process.kill()
    assert started is not None and started.isdigit()


def test_the_host_is_told_apart_from_others_and_from_itself_after_a_restart() -> None:
    assert host_id() == host_id()
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() in host_id()
    assert len(host_id()) <= 160  # what the database holds


# ---- In the database


def test_a_beat_grows_until_the_process_is_taken_off_the_list(any_database: Database) -> None:
    any_database.write(processes.register, 1, host_id(), os.getpid(), start_of(os.getpid()))
    for _ in range(3):
        assert any_database.write(processes.beat, 1, "running")
    [row] = any_database.read(processes.everyone)
    assert (row.id, row.beat, row.state, row.pid) == (1, 3, "running", os.getpid())
    assert any_database.write(processes.beat, 1, "draining")
    assert any_database.read(processes.everyone)[0].state == "draining"
    assert any_database.write(processes.remove, 1)
    assert not any_database.write(processes.beat, 1, "running")  # it was taken for dead
    assert any_database.read(processes.everyone) == []


def test_a_process_that_has_moved_since_it_was_seen_is_not_buried(any_database: Database) -> None:
    any_database.write(processes.register, 1, "host", 1, "then")
    any_database.write(processes.beat, 1, "running")
    assert not any_database.write(processes.remove, 1, 0)
    assert any_database.write(processes.remove, 1, 1)
    assert not any_database.write(processes.remove, 1, 1)


def test_of_many_who_bury_a_process_one_does(any_database: Database) -> None:
    any_database.write(processes.register, 1, "host", 1, "then")
    with second_process(any_database) as other:
        works = [partial(one.write, processes.remove, 1, 0) for one in (any_database, other) for _ in range(3)]
        assert sorted(in_threads(*works)) == [False] * 5 + [True]
