"""Many answers at once in one api process: time added to the first token, CPU per token, memory per stream.

    python -m bench.streams [STREAMS] [TOKENS_PER_SECOND] [SECONDS]

Added time to first token: what a client waits beyond what the model itself took. The same on a direct connection
to the model is printed beside it: that much is the load client's and the machine's own.
"""

import re
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import requests

from tests.server import Api, free_port

ROOT = Path(__file__).resolve().parent.parent
RAMP_SECONDS = 20.0  # until the last stream has begun; all of them then run together
MARK = re.compile(rb"([AT])(\d{9,});")


class Stream:
    """One client that reads a stream and notes when tokens came."""

    __slots__ = ("arrived", "carry", "done", "failed", "first", "first_sent", "lags", "sent", "sock", "tail")

    def __init__(self, port: int, request: bytes) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = time.monotonic_ns()
        self.sock.sendall(request)
        self.sock.setblocking(False)
        self.carry = b""
        self.arrived = self.first = self.first_sent = 0
        self.done = self.failed = False
        self.lags: list[int] = []

    def read(self, now: int) -> None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        if not data:
            self.done, self.failed = True, True
            return
        if not self.first and not self.carry and not data.startswith(b"HTTP/1.1 200"):
            self.done = self.failed = True
        data = self.carry + data
        ended = data.endswith(b"0\r\n\r\n")
        data = data.partition(b"event: done")[0]  # it holds the whole answer once more
        end = 0
        for mark in MARK.finditer(data):
            end = mark.end()
            if mark[1] == b"A":
                self.arrived = int(mark[2])
                continue
            sent = int(mark[2])
            if not self.first:
                self.first, self.first_sent = now, sent
            self.lags.append(now - sent)
        self.carry = data[max(end, len(data) - 40) :]
        self.done = self.done or ended

    @property
    def added(self) -> float:
        """Milliseconds to the first token, less those the model took."""
        return ((self.first - self.sent) - (self.first_sent - self.arrived)) / 1e6


def run_streams(port: int, requests_: list[bytes], seconds: float) -> list[Stream]:
    """Open the streams over a few seconds, read them all to their ends."""
    poll, by_fd, streams = select.epoll(), {}, []
    begun, give_up = time.monotonic(), time.monotonic() + seconds
    waiting = len(requests_)
    while waiting and time.monotonic() < give_up:
        due = min(len(requests_), int((time.monotonic() - begun) / RAMP_SECONDS * len(requests_)) + 1)
        while len(streams) < due:
            stream = Stream(port, requests_[len(streams)])
            streams.append(stream)
            by_fd[stream.sock.fileno()] = stream
            poll.register(stream.sock, select.EPOLLIN)
        for fd, _ in poll.poll(0.005):
            stream = by_fd[fd]
            stream.read(time.monotonic_ns())
            if stream.done:
                poll.unregister(fd)
                stream.sock.close()
                waiting -= 1
    return streams


def request_bytes(path: str, body: bytes, token: str = "") -> bytes:
    auth = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{auth}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def cpu_and_memory(pid: int) -> tuple[float, int]:
    """CPU seconds used so far, and resident bytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100, int(fields[21]) * 4096


class HealthWatch(threading.Thread):
    """Asks /health all the time; the longest it had to wait is the answer to "does anything starve?"."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.times, self.over = url, [], threading.Event()
        self.start()

    def run(self) -> None:
        session = requests.Session()
        while not self.over.wait(0.1):
            begun = time.monotonic()
            session.get(f"{self.url}/health", timeout=10)
            self.times.append((time.monotonic() - begun) * 1000)


def percentiles(values: list[float]) -> str:
    ordered = sorted(values)
    at = {
        name: ordered[min(len(ordered) - 1, int(len(ordered) * part))] for name, part in (("p50", 0.5), ("p99", 0.99))
    }
    return f"p50 {at['p50']:.1f}  p99 {at['p99']:.1f}  max {ordered[-1]:.1f}"


def main(count: int = 1000, rate: float = 20, seconds: float = 25) -> None:
    tokens = int(rate * seconds)
    port = free_port()
    upstream = subprocess.Popen(
        [sys.executable, "-m", "bench.upstream", str(port), "--tokens", str(tokens), "--interval", str(1000 / rate)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert upstream.stdout is not None
    upstream.stdout.readline()
    try:
        body = b'{"stream":true,"messages":[]}'
        direct = run_streams(port, [request_bytes("/v1/chat/completions", body)] * count, seconds + 30)
        print(f"{count} streams of {rate:g} tokens/s for {seconds:g} s")
        _print("direct", direct)
        with tempfile.TemporaryDirectory() as folder, _api(Path(folder), port, count) as api:
            _through_us(api, count, tokens, seconds)
    finally:
        upstream.kill()
        upstream.wait()


class _api:
    """An api process with a simulator to log in by."""

    def __init__(self, folder: Path, model_port: int, count: int) -> None:
        from core.settings import SIMULATOR_APPID, SIMULATOR_SECRET
        from tests.loopback import serving
        from wechat.simulator.app import create_simulator

        self._serving = serving(create_simulator({SIMULATOR_APPID: SIMULATOR_SECRET}))
        self._arguments: dict[str, Any] = {
            "model_url": f"http://127.0.0.1:{model_port}/v1/chat/completions",
            "database_url": f"sqlite:///{folder}/chat.db",
            "model_max_concurrent": count + 10,
            "max_tokens_limit": 100_000,
        }
        self._folder = folder

    def __enter__(self) -> Api:
        self.api = Api(self._folder, simulator=self._serving.__enter__(), **self._arguments).wait_ready()
        return self.api

    def __exit__(self, *exc: object) -> None:
        self.api.stop()
        self._serving.__exit__(None, None, None)


def _through_us(api: Api, count: int, tokens: int, seconds: float) -> None:
    users = [api.login() for _ in range(max(1, count // 10))]
    body = '{"content":"你好","stream":true}'.encode()
    (worker,) = api.children()
    cpu_before, memory_before = cpu_and_memory(worker)
    watch = HealthWatch(api.url)
    peak = threading.Timer(RAMP_SECONDS + 2, lambda: memory.append(cpu_and_memory(worker)[1]))
    memory: list[int] = []
    peak.start()
    calls = [request_bytes("/api/chat", body, users[n % len(users)].token) for n in range(count)]
    streams = run_streams(api.port, calls, seconds + 60)
    watch.over.set()
    watch.join()
    cpu = cpu_and_memory(worker)[0] - cpu_before
    _print("ours", streams)
    print(
        f"  CPU per token: {cpu / (count * tokens) * 1e6:.1f} µs; memory per stream: "
        f"{(memory[0] - memory_before) / count / 1024:.0f} KB"
    )
    print(f"  /health meanwhile, ms: {percentiles(watch.times)}")


def _print(name: str, streams: list[Stream]) -> None:
    good = [one for one in streams if one.done and not one.failed]
    print(f"{name}: {len(good)} of {len(streams)} complete")
    if good:
        print(f"  added time to first token, ms: {percentiles([one.added for one in good])}")
        lags = [lag / 1e6 for one in good for lag in one.lags]
        print(f"  token on its way, ms: {percentiles(lags)}  mean {statistics.fmean(lags):.1f}")


if __name__ == "__main__":
    main(*(float(one) if "." in one else int(one) for one in sys.argv[1:]))
