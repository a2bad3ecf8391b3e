"""`python app.py`: everything from one command, on a machine where nothing is configured."""

import contextlib
import os
import re
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.server import Process, User, answers, children, free_port, wait_until


class Server(Process):
    """All processes of a server in local mode."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.port, self.simulator_port, self.console_port = free_port(), free_port(), free_port()
        self.url, self.simulator = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.simulator_port}"
        ports = {"port": self.port, "simulator_port": self.simulator_port, "console_port": self.console_port}
        super().__init__("serve", folder, **(ports | settings))

    def wait_started(self, seconds: float = 60) -> "Server":
        def started() -> bool:
            assert self.popen.poll() is None, self.log
            return "已启动" in self.log

        wait_until(started, seconds, "the start of the server")
        return self

    def child(self, name: str) -> int:
        """The pid of the child that runs this command."""
        for pid in self.children():
            with contextlib.suppress(FileNotFoundError):
                if f"app.py\0{name}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        raise LookupError(name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("serve"), shutdown_seconds=8)
    yield server.wait_started()
    server.stop()


def test_a_newcomer_chats_with_the_demo_model(server: Server) -> None:
    user = User(server.url, server.simulator)
    stream = user.stream("你好").to_end()
    assert "演示模型" in stream.text
    assert stream.last == ("done", stream.last[1])
    assert stream.last[1]["reply"] == stream.text


def test_the_demo_model_is_called_so_wherever_a_person_looks(server: Server) -> None:
    assert "演示模型" in server.log
    assert "演示模型" in requests.get(f"{server.url}/health", timeout=5).json()["notice"]
    assert "演示模型" in User(server.url, server.simulator).get("/api/me").json()["model"]["notice"]


def test_it_is_ready_and_listens_on_loopback_only(server: Server) -> None:
    assert requests.get(f"{server.url}/ready", timeout=5).status_code == 200
    for port in (server.port, server.simulator_port, server.console_port):
        listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert f"0100007F:{port:04X}" in listening
        assert f"00000000:{port:04X}" not in listening


def test_the_engine_s_key_is_readable_by_us_alone(server: Server) -> None:
    rendezvous = server.log_file.parent / "data" / "model.json"
    assert stat.S_IMODE(rendezvous.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["model", "simulator", "api"])
def test_a_child_that_dies_is_started_again(server: Server, name: str) -> None:
    before = server.child(name)
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        try:
            replaced = server.child(name) != before
            return replaced and "演示模型" in User(server.url, server.simulator).ask("你好").text
        except (requests.RequestException, LookupError):
            return False

    wait_until(back, 20, f"an answer after the death of the {name}")


def test_the_console_s_first_account_is_told_once_and_lets_one_in(server: Server) -> None:
    told = re.findall(r"第一个账号：admin，密码（只显示这一次）：(\S+)", server.log)
    assert len(told) == 1
    form = {"name": "admin", "password": told[0]}
    console = f"http://127.0.0.1:{server.console_port}"
    answer = requests.post(f"{console}/login", data=form, allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert requests.get(console, cookies=answer.cookies, timeout=10).status_code == 200


def test_a_console_that_dies_is_started_again(server: Server) -> None:
    before = server.child("console")
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        with contextlib.suppress(LookupError):
            return server.child("console") != before and answers(f"http://127.0.0.1:{server.console_port}/health")
        return False

    wait_until(back, 40, "the console's return")


def test_a_taken_port_is_said_in_one_line(server: Server, tmp_path: Path) -> None:
    second = Process("serve", tmp_path, port=server.port, simulator_port=free_port())
    assert second.popen.wait(20) == 1
    assert f"无法监听 127.0.0.1:{server.port}：端口已被占用" in second.log
    assert "用 PORT 换一个端口" in second.log
    assert "Traceback" not in second.log
    third = Process("simulator", tmp_path, simulator_port=server.simulator_port)
    assert third.popen.wait(20) == 1
    assert f"127.0.0.1:{server.simulator_port}：端口已被占用" in third.log and "SIMULATOR_PORT" in third.log


def test_nobody_is_refused_while_the_api_is_started_again(server: Server) -> None:
    """WeChat gives a message up after three refused connections, which take no time at all."""
    before = server.child("api")
    workers = children(before)
    os.kill(before, signal.SIGKILL)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert requests.get(f"{server.url}/health", timeout=20).status_code == 200
    assert server.child("api") != before


def test_a_bad_setting_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PROT=8000\n")
    process = Process("serve", tmp_path, max_tokens="many")
    assert process.popen.wait(20) == 2
    assert "MAX_TOKENS=many：应为整数" in process.log
    assert "PROT：.env 里没有这个配置项" in process.log
    assert "Traceback" not in process.log


def test_whether_it_is_stopped_or_killed_nothing_is_left_running(server: Server) -> None:
    """The last test here: it ends the server of all the others."""
    family = _family(server)
    user = User(server.url, server.simulator)
    turn_id = user.ask("给我讲个故事", wait=0).json()["turn_id"]
    begun = time.monotonic()
    assert server.stop(8) == 0
    assert time.monotonic() - begun < 8
    _wait_until_gone(family)
    folder = server.log_file.parent
    assert not (folder / "data" / "model.json").exists()

    again = Server(folder).wait_started()
    told = requests.get(f"{again.url}/api/turns/{turn_id}", headers=user.headers, timeout=10).json()
    assert told["status"] == "done"
    family = _family(again)
    again.popen.kill()
    again.popen.wait()
    _wait_until_gone(family)


def _family(server: Server) -> list[int]:
    return [*server.children(), *(pid for child in server.children() for pid in children(child))]


def _wait_until_gone(pids: list[int]) -> None:
    wait_until(lambda: not [pid for pid in pids if _alive(pid)], 10, "the end of all children")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
