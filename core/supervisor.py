"""The parent of all processes of one server: starts them, restarts what dies, stops them in order."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # between a death and the restart
STEADY_SECONDS = 10.0  # a child that lived this long begins again with the first pause
PARENT_VARIABLE = "CHAT_PARENT_PID"  # a child ends with the parent that is named here
LISTENER_VARIABLE = "CHAT_LISTENER_FD"  # the descriptor of a listening socket that the parent made


@dataclass
class Child:
    """A process to keep running. `ready` tells whether it serves; `explain` what an exit code means."""

    name: str
    command: Sequence[str]
    ready: Callable[[], bool]
    explain: Callable[[int], str] = "以代码 {} 退出".format
    environment: Mapping[str, str] = field(default_factory=dict)
    listener: socket.socket | None = None  # inherited, and kept open here while the child is being started again
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause: float = FIRST_PAUSE
    was_ready: bool = False


class Supervisor:
    """`run` returns the exit code of the whole server.

    Children stop in the order they are given, each when the ones before it have ended: the api still needs the
    model while it finishes its answers.
    """

    def __init__(self, children: Sequence[Child], stop_seconds: float, on_ready: Callable[[], None]) -> None:
        self._children = children
        self._stop_seconds = stop_seconds
        self._on_ready = on_ready
        self._stopping = False
        self._announced = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        for child in reversed(self._children):
            self._start(child)
        code = 0
        while not self._stopping:
            for child in self._children:
                if not self._look_after(child):
                    code = 1
                    self._stopping = True
            if not self._announced and all(child.was_ready for child in self._children):
                self._announced = True
                self._on_ready()
            time.sleep(LOOK_SECONDS)
        self._stop_children()
        return code

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, child: Child) -> None:
        environment = os.environ | child.environment | {PARENT_VARIABLE: str(os.getpid())}
        # In a session of its own, so that Ctrl-C reaches the parent alone and the order of stopping is ours. The
        # pipe on stdin closes when the parent dies, however it does.
        inherited: tuple[int, ...] = ()
        if child.listener is not None:
            inherited = (child.listener.fileno(),)
            environment[LISTENER_VARIABLE] = str(child.listener.fileno())
        child.process = subprocess.Popen(
            child.command, env=environment, stdin=subprocess.PIPE, start_new_session=True, pass_fds=inherited
        )
        child.started_at = time.monotonic()

    def _look_after(self, child: Child) -> bool:
        """Restart the child if it is dead; False if it cannot even start."""
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_again_at:
                self._start(child)
            return True
        code = child.process.poll()
        if code is None:
            child.was_ready = child.was_ready or child.ready()
            return True
        assert child.process.stdin is not None
        child.process.stdin.close()
        child.process = None
        if not child.was_ready and code > 0:
            print(f"{child.name}没能启动：{child.explain(code)}", file=sys.stderr, flush=True)
            return False
        if now - child.started_at > STEADY_SECONDS:
            child.pause = FIRST_PAUSE
        log.error("%s已退出（%s），%.1f 秒后重新启动", child.name, code, child.pause)
        child.start_again_at = now + child.pause
        child.pause = min(2 * child.pause, LONGEST_PAUSE)
        return True

    def _stop_children(self) -> None:
        print(f"正在停止，写到一半的回答最多再等 {self._stop_seconds:g} 秒……", flush=True)
        give_up = time.monotonic() + self._stop_seconds
        for child in self._children:
            if child.listener is not None:
                child.listener.close()
        for child in self._children:
            process = child.process
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(max(0.5, give_up - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("%s没有停下来，强制结束", child.name)
                process.kill()
                process.wait()
