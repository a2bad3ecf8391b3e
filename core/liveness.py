"""Which processes live: without comparing clocks of two machines, or a clock with itself after it was set.

A process is dead when its beat has not moved for 6 seconds of the observer's monotonic clock, and only time in
which the observer itself could read counts: an observer that was paused, or cut off from the database, has seen
nothing. On one host a process is dead at once when its pid is gone, or is another process by now.
"""

import contextlib
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SILENCE_SECONDS = 5.75  # six, less half a tick: looks come twice a second, not to the millisecond
LONGEST_STEP = 1.0  # between two looks: what counts at most, however long the observer slept


def host_id() -> str:
    """This machine since its last boot, and the pid namespace: pids of two containers don't mix."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    return platform.node()


def start_of(pid: int) -> str | None:
    """When a process of this host began, in the system's own words; None if there is none (any more)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _start_by_ps(pid)
    except ProcessLookupError:
        return None
    fields = status[status.rindex(")") + 2 :].split()  # the name before it may contain anything
    return None if fields[0] in "ZX" else fields[19]  # killed, but not yet collected by its parent


def _start_by_ps(pid: int) -> str | None:
    """macOS and the BSDs have no /proc."""
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


class Observer:
    """Watches the beats of all processes from inside one of them."""

    def __init__(self) -> None:
        self.host = host_id()
        self._last_look: float | None = None
        self._beats: dict[int, int] = {}
        self._silent: dict[int, float] = {}

    def dead(self, processes: Iterable[Any]) -> list[Any]:
        """Take in a fresh reading of all process rows; return those that are dead."""
        now = time.monotonic()
        step = 0.0 if self._last_look is None else min(now - self._last_look, LONGEST_STEP)
        self._last_look = now
        rows = list(processes)
        silent = {}
        for row in rows:
            moved = self._beats.get(row.id) != row.beat
            silent[row.id] = 0.0 if moved else self._silent.get(row.id, 0.0) + step
        self._beats = {row.id: row.beat for row in rows}
        self._silent = silent
        return [row for row in rows if silent[row.id] >= SILENCE_SECONDS or self._gone(row)]

    def _gone(self, row: Any) -> bool:
        return bool(row.host == self.host) and start_of(row.pid) != row.started
