"""A real parent with tiny children: each is a script that tells what happens to it in one file."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server import ROOT, wait_until

CHILD = """
import os, signal, sys, time
name, log, how = sys.argv[1:4]

def tell(what):
    with open(log, "a") as file:
        file.write(f"{name} {what} {os.getpid()}\\n")

def stop(number, frame):
    tell("told to stop")
    if how == "stubborn":
        return
    if how == "slow":
        time.sleep(0.3)
    tell("ended")
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, lambda *_: tell("interrupted"))
tell("started")
if how == "broken":
    sys.exit(3)
if how == "brief" and not os.path.exists(log + ".steady"):
    sys.exit(4)
if how == "watching":  # ends with its parent, however that ends
    sys.stdin.read()
    tell("orphaned")
    sys.exit(0)
while True:
    time.sleep(0.01)
"""

PARENT = """
import json, logging, sys
from pathlib import Path
from core import supervisor
from core.supervisor import Child, Supervisor

logging.basicConfig(level=logging.INFO, format="%(message)s")
child, log, stop_seconds, pauses, *kinds = sys.argv[1:]
supervisor.LOOK_SECONDS = 0.01
supervisor.FIRST_PAUSE, supervisor.LONGEST_PAUSE = json.loads(pauses)

def ready(name):
    return lambda: f"{name} started" in Path(log).read_text()

def explain(code):
    return f"Code {code} heisst kaputt"

children = []
for number, kind in enumerate(kinds):
    name = f"child{number}"
    serves = (lambda: False) if kind == "broken" else ready(name)
    command = [sys.executable, "-S", child, name, log, kind]
    children.append(Child(name, command, ready=serves, explain=explain, pause=supervisor.FIRST_PAUSE))
sys.exit(Supervisor(children, float(stop_seconds), lambda: print("announced", flush=True)).run())
"""


class Parent:
    """A supervisor in a process of its own; `log` is what its children tell, line by line."""

    def __init__(self, folder: Path, *kinds: str, stop_seconds: float = 10, pauses: tuple[float, float] = (0.02, 1)):
        self.file = folder / "log"
        self.file.touch()
        child = folder / "child.py"
        child.write_text(CHILD)
        options = [str(child), str(self.file), str(stop_seconds), json.dumps(pauses)]
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-c", PARENT, *options, *kinds],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> list[str]:
        """Without process ids."""
        return [line.rpartition(" ")[0] for line in self.file.read_text().splitlines()]

    def wait_for(self, line: str, times: int = 1) -> None:
        wait_until(lambda: self.log.count(line) >= times, what=line)

    def pid(self, name: str) -> int:
        """Of a child, as it was started last."""
        started = [line for line in self.file.read_text().splitlines() if line.startswith(f"{name} started")]
        return int(started[-1].rpartition(" ")[2])

    def told(self) -> str:
        return self.output.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(10)


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[..., Parent]]:
    started: list[Parent] = []

    def start(*kinds: str, **options: object) -> Parent:
        started.append(Parent(tmp_path, *kinds, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.popen.kill()
        one.popen.wait()
        for line in one.file.read_text().splitlines():
            if " started " in line and lives(pid := int(line.rpartition(" ")[2])):
                os.kill(pid, signal.SIGKILL)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_all_children_are_started_and_it_is_announced_once_that_they_serve(parent: Callable[..., Parent]) -> None:
    server = parent("plain", "plain", "plain")
    wait_until(lambda: "announced" in server.told())
    assert sorted(server.log) == ["child0 started", "child1 started", "child2 started"]
    os.kill(server.pid("child1"), signal.SIGKILL)
    server.wait_for("child1 started", 2)
    assert server.end() == 0
    assert server.told().count("announced") == 1


def test_children_stop_one_after_the_other_in_the_order_given(parent: Callable[..., Parent]) -> None:
    server = parent("slow", "slow", "plain")
    wait_until(lambda: "announced" in server.told())
    assert server.end() == 0
    assert server.log[3:] == [f"child{n} {what}" for n in range(3) for what in ("told to stop", "ended")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_in_a_terminal_reaches_the_parent_alone_and_stops_all_in_order(
    parent: Callable[..., Parent], number: int
) -> None:
    server = parent("slow", "plain")
    wait_until(lambda: "announced" in server.told())
    os.killpg(server.popen.pid, number)  # as a terminal does: to everyone in the foreground
    assert server.popen.wait(10) == 0
    assert server.log[2:] == [f"child{n} {what}" for n in range(2) for what in ("told to stop", "ended")]


def test_a_second_ctrl_c_does_not_leave_children_behind(parent: Callable[..., Parent]) -> None:
    server = parent("slow", "plain")
    wait_until(lambda: "announced" in server.told())
    os.killpg(server.popen.pid, signal.SIGINT)
    server.wait_for("child0 told to stop")
    os.killpg(server.popen.pid, signal.SIGINT)
    assert server.popen.wait(10) == 0
    assert not lives(server.pid("child0")) and not lives(server.pid("child1"))


def test_a_child_that_dies_is_started_again_and_the_others_never_notice(parent: Callable[..., Parent]) -> None:
    server = parent("plain", "plain")
    wait_until(lambda: "announced" in server.told())
    first, other = server.pid("child0"), server.pid("child1")
    os.kill(first, signal.SIGKILL)
    server.wait_for("child0 started", 2)
    assert server.pid("child0") != first
    assert server.pid("child1") == other and lives(other)
    assert "child0已退出（-9）" in server.told()
    assert server.end() == 0


def test_a_child_that_keeps_dying_is_started_again_ever_more_slowly(
    parent: Callable[..., Parent], tmp_path: Path
) -> None:
    (tmp_path / "log.steady").touch()
    server = parent("brief", pauses=(0.1, 0.4))
    wait_until(lambda: "announced" in server.told())
    (tmp_path / "log.steady").unlink()
    os.kill(server.pid("child0"), signal.SIGKILL)

    def pauses() -> list[str]:
        return re.findall(r"([\d.]+) 秒后重新启动", server.told())

    wait_until(lambda: len(pauses()) >= 4)
    assert pauses()[:4] == ["0.1", "0.2", "0.4", "0.4"]
    assert server.end() == 0


def test_a_child_that_cannot_start_ends_the_whole_server_and_says_why(parent: Callable[..., Parent]) -> None:
    server = parent("plain", "broken", "plain")
    assert server.popen.wait(10) == 1
    assert "child1没能启动：Code 3 heisst kaputt" in server.told()
    assert "announced" not in server.told()
    assert server.log.count("child1 started") == 1
    pids = [int(line.rpartition(" ")[2]) for line in server.file.read_text().splitlines() if " started " in line]
    assert not any(lives(pid) for pid in pids)


def test_a_child_that_does_not_stop_is_killed_when_the_time_is_over(parent: Callable[..., Parent]) -> None:
    server = parent("stubborn", "plain", stop_seconds=0.1)
    wait_until(lambda: "announced" in server.told())
    assert server.end() == 0
    assert server.log[2:] == ["child0 told to stop", "child1 told to stop", "child1 ended"]
    assert "child0没有停下来，强制结束" in server.told()
    assert not lives(server.pid("child0"))


def test_children_learn_of_a_parent_that_was_killed(parent: Callable[..., Parent]) -> None:
    server = parent("watching", "watching")
    server.wait_for("child0 started")
    server.wait_for("child1 started")
    server.popen.kill()
    server.wait_for("child0 orphaned")
    server.wait_for("child1 orphaned")


def test_a_stop_while_a_child_waits_to_be_started_again_does_not_start_it(
    parent: Callable[..., Parent], tmp_path: Path
) -> None:
    server = parent("plain", "plain", pauses=(60, 60))
    wait_until(lambda: "announced" in server.told())
    os.kill(server.pid("child0"), signal.SIGKILL)
    wait_until(lambda: "child0已退出" in server.told())
    assert server.end() == 0
    assert server.log.count("child0 started") == 1
    assert server.log[-1] == "child1 ended"
