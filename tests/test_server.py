"""The server as a real process: what it does when it starts, when it is told to stop, and when parts of it die."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest
import requests

from wechat.server import run

ROOT = Path(__file__).parent.parent


class Server:
    """A running tests/tiny_server.py; `heard` collects its lines."""

    def __init__(self, process):
        self.process = process
        self.heard = []
        self.port = int(self.hear(r"listening on http://127\.0\.0\.1:(\d+)"))
        self.worker = int(self.hear(r"^start (\d+)"))

    def hear(self, pattern):
        """Read on until a line matches; its group, or the line."""
        for line in self.process.stdout:
            self.heard.append(line.rstrip())
            if match := re.search(pattern, line):
                return match[match.re.groups]
        raise AssertionError(f"{pattern} never came: {self.heard}")

    def rest(self):
        """All that follows, until the last of its processes is gone."""
        self.heard += self.process.stdout.read().splitlines()
        return self.heard

    def get(self, path, **headers):
        return requests.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=10)

    def send(self, text):
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(text.replace("\n", "\r\n").encode())
        return connection


@contextmanager
def started(port=0, workers=1, graceful=10, **environment):
    command = [sys.executable, "-m", "tests.tiny_server", str(port), str(workers), str(graceful)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    # A session of its own, so that the group can be signalled as a terminal does, and cleaned up.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def server():
    with started() as process:
        yield Server(process)


def test_it_serves_without_delay_and_believes_no_proxy(server):
    assert server.get("/pid").text == str(server.worker)
    assert server.get("/nodelay").text == "True"
    assert server.get("/scheme", **{"X-Forwarded-Proto": "https"}).text == "http"


def test_it_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with started(HOME=str(tmp_path), TMPDIR=str(tmp_path)) as process:
        assert Server(process).get("/pid").ok
        assert list(tmp_path.iterdir()) == []


def test_a_reader_who_takes_nothing_is_let_go():
    with started(SEND_SECONDS="0.5") as process:
        server = Server(process)
        with server.send("GET /endless HTTP/1.1\nHost: x\n\n"):
            server.hear("stream begins")
            server.hear("stream ends")
        assert server.get("/pid").ok
        process.terminate()
        assert not any("Traceback" in line for line in server.rest())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("NONSENSE\n\n", 400),
        ("GET / HTTP/1.1\nHost: x\nbroken header\n\n", 400),
        (f"GET /{'long' * 2000} HTTP/1.1\nHost: x\n\n", 414),
        (f"GET / HTTP/1.1\nHost: x\nX: {'long' * 5000}\n\n", 431),
    ],
)
def test_what_is_no_http_is_answered_as_a_problem(server, sent, status):
    with server.send(sent) as connection:
        answer = HTTPResponse(connection)
        answer.begin()
        told = json.loads(answer.read())
    assert (answer.status, told["status"], told["code"]) == (status, status, "invalid_message")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == told["request_id"]
    assert "long" not in str(told) and "broken" not in str(told)


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
def test_a_request_in_flight_is_finished_and_the_lifecycle_told_in_order(server, how):
    with server.send("GET /until-told HTTP/1.1\nHost: x\nConnection: close\n\n") as connection:
        server.hear("request begins")
        if how == "SIGTERM":
            server.process.send_signal(signal.SIGTERM)
        else:
            os.killpg(server.process.pid, signal.SIGINT)
        with connection.makefile() as answer:
            assert answer.read().endswith("finished")
    told = [line.split()[0] for line in server.rest()[1:]]
    assert told == ["start", "request", "sigterm", "request", "stop"]
    assert server.process.wait() == 0


def test_a_stuck_request_is_cut_in_time_for_stop():
    with started(graceful=2) as process:
        server = Server(process)
        with server.send("POST /body HTTP/1.1\nHost: x\nContent-Length: 9\n\nhalf"):
            server.hear("request begins")
            process.terminate()
            heard = server.rest()
        assert heard[-1].startswith("stop")
        assert any("1 connections are cut" in line for line in heard)
        assert process.wait() == 0


def test_a_killed_worker_is_replaced(server):
    os.kill(server.worker, signal.SIGKILL)
    successor = int(server.hear(r"^start (\d+)"))
    assert successor != server.worker
    assert server.get("/pid").text == str(successor)


def test_workers_end_gently_when_their_master_is_killed(server):
    with server.send("GET /until-told HTTP/1.1\nHost: x\nConnection: close\n\n") as connection:
        server.hear("request begins")
        server.process.kill()
        with connection.makefile() as answer:
            assert answer.read().endswith("finished")
    assert [line.split()[0] for line in server.rest()[-3:]] == ["sigterm", "request", "stop"]


def test_an_address_in_use_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(port) as process:
            assert process.stdout.read() == (
                f"无法监听 127.0.0.1:{port}：端口已被占用。请先停掉占用它的程序，或用 PORT 换一个端口。\n"
            )
            assert process.wait() == 1


@pytest.mark.parametrize(
    ("fail", "reason"), [("build", "no database"), ("start", "no database"), ("exit", "设置不对。")]
)
def test_a_worker_that_cannot_start_stops_the_server(fail, reason):
    with started(workers=2, FAIL=fail) as process:
        said = process.stdout.read()
        assert process.wait() == 3
    assert reason in said
    assert "服务没能启动，原因见上面的日志。" in said
    assert "HaltServer" not in said


def test_an_unpatched_process_is_refused():
    with pytest.raises(RuntimeError, match="patch_all"):
        run(lambda: None, host="127.0.0.1", port=0, workers=1, graceful_seconds=1)


CHILD = """
import signal
from wechat.processes import die_with_parent
die_with_parent()
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_child_dies_with_its_parent():
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        assert process.stdout.read() == b""  # the end of the pipe: the child is gone too


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_child_whose_parent_is_gone_already_leaves_at_once():
    orphan = "from wechat.processes import die_with_parent; die_with_parent(parent=1 << 30); print('alive')"
    done = subprocess.run([sys.executable, "-c", orphan], capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, b"")
