"""Real processes of ours under test: `python app.py …` in a folder of its own, on a free port of loopback."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(happened: Callable[[], Any], seconds: float = 10, what: str = "it") -> Any:
    """The first true value of `happened()`, asked again and again; TimeoutError where none comes."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if value := happened():
            return value
        time.sleep(0.02)
    raise TimeoutError(f"{what} did not happen within {seconds} s")


def children(parent: int) -> list[int]:
    """Process ids of a process' children; none where it has ended."""
    if not Path("/proc/self/task").exists():  # macOS
        found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]
    pids: list[int] = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids += map(int, task.read_text().split())
    return pids


def answers(url: str) -> bool:
    """Whether a GET gets its 200; to be asked again and again, so where nobody listens it costs next to nothing."""
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname or "", address.port or 80), timeout=2).close()
        return requests.get(url, timeout=2).status_code == 200
    except (OSError, requests.ConnectionError, requests.Timeout):
        return False


class Process:
    """One command of app.py; its output goes to `NAME.log` in its folder."""

    def __init__(self, command: str, folder: Path, *arguments: str, **settings: object) -> None:
        self.log_file = folder / f"{command}-{time.monotonic_ns()}.log"
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        environment = inherited | {name.upper(): str(value) for name, value in settings.items()}
        with self.log_file.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, str(ROOT / "app.py"), command, *arguments],
                cwd=folder,
                env=environment | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def children(self) -> list[int]:
        """Process ids of its children (the workers of an api process)."""
        return children(self.popen.pid)

    def stop(self, seconds: float = 15) -> int:
        """End it as an operator would, by SIGTERM; its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it and its workers with SIGKILL, as a power cut would."""
        for pid in [*self.children(), self.popen.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.popen.wait(10)


class Api(Process):
    """An api process; `login()` gives a user of its own to talk through."""

    def __init__(
        self, folder: Path, *, model_url: str, database_url: str, simulator: str, **settings: object
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.simulator = simulator
        defaults: dict[str, object] = {
            "port": self.port,
            "workers": 1,
            "database_url": database_url,
            "model_api_url": model_url,
            "simulator_port": simulator.rpartition(":")[2],
            "login_per_minute": 0,
            "user_per_minute": 0,
            "user_per_day": 0,
            "shutdown_seconds": 6,
        }
        super().__init__("api", folder, **(defaults | settings))

    def wait_ready(self, seconds: float = 60) -> "Api":
        def serves() -> bool:
            if self.popen.poll() is not None:
                raise RuntimeError(f"api has ended: {self.log}")
            return answers(f"{self.url}/health")

        wait_until(serves, seconds, "the start of the api")
        return self

    def login(self, openid: str | None = None, unionid: str | None = None) -> "User":
        return User(self.url, self.simulator, openid, unionid)


class Console(Process):
    """A console process, with the accounts that are in its database."""

    def __init__(self, folder: Path, *, model_url: str, database_url: str, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        defaults: dict[str, object] = {
            "console_port": self.port,
            "database_url": database_url,
            "model_api_url": model_url,
            "shutdown_seconds": 4,
        }
        super().__init__("console", folder, **(defaults | settings))

    def wait_ready(self, seconds: float = 60) -> "Console":
        """Wait until its pages are served; importing Gradio takes seconds."""

        def serves() -> bool:
            if self.popen.poll() is not None:
                raise RuntimeError(f"the console has ended: {self.log}")
            return answers(f"{self.url}/health")

        wait_until(serves, seconds, "the start of the console")
        return self


class User:
    """Somebody who has logged in, as the mini-program would do it: every call is a real request."""

    def __init__(self, url: str, simulator: str, openid: str | None = None, unionid: str | None = None) -> None:
        self.url = url
        asked = {name: value for name, value in (("openid", openid), ("unionid", unionid)) if value}
        code = requests.post(f"{simulator}/desk/login", json=asked, timeout=10).json()["code"]
        answer = requests.post(f"{url}/api/login", json={"code": code}, timeout=10)
        answer.raise_for_status()
        self.token = answer.json()["token"]
        self.user_id = answer.json()["user_id"]
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def at(self, url: str) -> "User":
        """The same user talking to another process."""
        other = object.__new__(User)
        other.__dict__ = self.__dict__ | {"url": url}
        return other

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", 60)
        return requests.request(method, self.url + path, headers=self.headers, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.call("POST", path, json=body, **options)

    def ask(self, content: str, **body: Any) -> requests.Response:
        return self.post("/api/chat", {"content": content, **body})

    def stream(self, content: str, **body: Any) -> "EventStream":
        return EventStream(self.post("/api/chat", {"content": content, "stream": True, **body}, stream=True))

    def resume(self, turn_id: str, after: str = "") -> "EventStream":
        return EventStream(self.get(f"/api/turns/{turn_id}/stream", params={"after": after}, stream=True))

    def wait_final(self, turn_id: str, seconds: float = 20) -> dict[str, Any]:
        """The turn as it is told once it has its final state."""

        def final() -> dict[str, Any] | None:
            turn: dict[str, Any] = self.get(f"/api/turns/{turn_id}", params={"wait": 2}).json()
            return turn if turn.get("status") in ("done", "stopped", "failed", "blocked") else None

        return wait_until(final, seconds, f"the end of turn {turn_id}")  # type: ignore[no-any-return]


class EventStream:
    """Server-sent events as a client reads them: iterate `(name, data)`; `text` is what it would show."""

    def __init__(self, response: requests.Response) -> None:
        assert response.status_code == 200, response.text
        self.response = response
        self._lines = response.iter_lines(chunk_size=1)  # one for all loops: a reader may stop and read on
        self.text = self.reasoning = self.cursor = ""
        self.turn_id = ""
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.cursors: list[str] = []  # the id of each event

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        fields: dict[str, str] = {}
        for line in self._lines:
            if line.startswith(b":"):
                continue
            if line:
                name, _, value = line.decode().partition(": ")
                fields[name] = value
            elif fields:
                name, data = fields["event"], json.loads(fields["data"])
                self.cursor = fields["id"]
                self.cursors.append(self.cursor)
                fields = {}
                self._take(name, data)
                yield name, data

    def _take(self, name: str, data: dict[str, Any]) -> None:
        self.events.append((name, data))
        match name:
            case "start":
                self.turn_id = data["turn_id"]
            case "reset":
                self.text = self.reasoning = ""
            case "delta":
                self.text += data["text"]
            case "reasoning":
                self.reasoning += data["text"]

    def to_end(self) -> "EventStream":
        for _ in self:
            pass
        return self

    def until(self, name: str) -> dict[str, Any]:
        """Read up to the first event of this name; its data."""
        for seen, data in self:
            if seen == name:
                return data
        raise AssertionError(f"the stream ended without {name}: {self.events}")

    @property
    def last(self) -> tuple[str, dict[str, Any]]:
        return self.events[-1]

    def close(self) -> None:
        self.response.close()
