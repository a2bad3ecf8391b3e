"""Followers who ask all at once, each until the answer is whole; and their stand: simulator, model, api."""

import argparse
import contextlib
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from gevent.pywsgi import WSGIServer

from core.settings import SIMULATOR_APPID, SIMULATOR_OFFICIAL_APPID, SIMULATOR_SECRET
from tests.server import Process, children, free_port, wait_until
from wechat.simulator import create_simulator
from wechat.simulator.account import Account
from wechat.simulator.official import Official
from wechat.simulator.pushes import FAILURE

KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
TOKEN = "benchtoken"
_NOTES = re.compile(
    r"（(内容由 AI 生成|完|还有约|还在写|上一条|还有一条)[^（）]*）|【关于[^】]*】|刚才的回答中断了，重新回答如下："
)
_SECONDS = re.compile(r"大约还要 (\d+) (秒|分钟)")


@dataclass
class Result:
    followers: int
    right: int = 0
    wrong: list[str] = field(default_factory=list)
    calls: int = 0
    slowest: float = 0.0
    silent: int = 0
    most_silent: int = 0  # in any five minutes
    failures: list[str] = field(default_factory=list)  # how the deliveries of each ended
    doubled: int = 0
    kills: int = 0
    pushed: int = 0
    seconds: float = 0.0


class Stand:
    """A simulator, a scripted model and a server with several worker processes."""

    def __init__(
        self, folder: Path, *, mode: str, pushes: bool, workers: int, database: str, **settings: Any
    ) -> None:
        self.account = Account(SIMULATOR_OFFICIAL_APPID, token=TOKEN, aes_key=KEY, mode=mode, may_push=pushes)
        app = create_simulator(
            {SIMULATOR_APPID: SIMULATOR_SECRET, SIMULATOR_OFFICIAL_APPID: SIMULATOR_SECRET}, self.account
        )
        self.official: Official = app.extensions["official"]
        port = free_port()
        self._server = WSGIServer(("127.0.0.1", port), app, log=None)
        self._server.start()
        model_port = free_port()
        self._model = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes", str(model_port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.model_url = f"http://127.0.0.1:{model_port}"
        defaults: dict[str, Any] = {"workers": workers, "wechat_token": TOKEN, "wechat_mode": mode}
        if mode != "plain":
            defaults["wechat_aes_key"] = KEY
        defaults |= {"wechat_appid": SIMULATOR_OFFICIAL_APPID, "wechat_secret": SIMULATOR_SECRET}
        defaults |= {"wechat_api_url": f"http://127.0.0.1:{port}", "wechat_customer_service": int(pushes)}
        defaults |= {"model_api_url": f"{self.model_url}/v1/chat/completions", "database_url": database}
        defaults |= {"host": "127.0.0.1", "port": free_port(), "user_per_minute": 0, "user_per_day": 0}
        self._worker_count = workers
        self.server = Process("serve", folder, **(defaults | settings))
        self._url = f"http://127.0.0.1:{defaults['port']}"
        self.account.callback = f"{self._url}/wechat/callback"

    def wait_ready(self) -> None:
        wait_until(lambda: self._calls() is not None, 60, "the start of the model")
        wait_until(lambda: "已启动" in self.server.log, 60, "the start of the server")
        wait_until(lambda: len(self.workers()) >= self._worker_count, 30, "the workers")

    def master(self) -> int | None:
        """The api's own master process."""
        return next(iter(self.server.children()), None)

    def workers(self) -> list[int]:
        master = self.master()
        return children(master) if master else []

    def _calls(self) -> dict[str, Any] | None:
        try:
            return dict(requests.get(f"{self.model_url}/_calls", timeout=10).json())
        except requests.RequestException:
            return None

    def calls(self) -> int:
        return int((self._calls() or {}).get("calls", -1))

    def close(self) -> None:
        self._model.kill()
        self._model.wait()
        for pid in [*self.workers(), *self.server.children()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.kill()
        self._server.stop(0)


def answer_of(number: int, sentences: int) -> str:
    return "".join(f"第{at}句是写给{number}号的。" for at in range(1, sentences + 1))


class Follower:
    """Asks, and goes on until the answer is whole."""

    def __init__(self, stand: Stand, number: int, seconds: float, sentences: int) -> None:
        self.openid = f"o-{number:04}-{secrets.token_hex(4)}"
        self._official = stand.official
        self.expected = answer_of(number, sentences)
        half = seconds / 2
        script = f"[slow:{half}][say:{self.expected}]"
        pieces = len(self.expected) // 3 + 1
        script += f"[pause:{pieces // 2}@{half}]" if seconds else ""
        self._question = f"{number}号的问题{script}"
        self.seen = ""
        self.doubled = 0
        self._lost = False

    def run(self, patience: float) -> bool:
        give_up = time.monotonic() + patience
        self._official.say(self.openid, self._question).done.wait(60)
        known = 0
        while time.monotonic() < give_up:
            lines = [line for line in self._official.chats.after(self.openid, known) if line.who != "me"]
            known = lines[-1].number if lines else known
            wait = 0.3
            for line in lines:
                self._read(line.text)
                if told := _SECONDS.search(line.text):
                    wait = min(8.0, int(told[1]) * (60 if told[2] == "分钟" else 1) + 0.5)
            if self.seen == self.expected:
                return True
            pushed = self._official.account.may_push
            if pushed and not any(line.text == FAILURE or "继续" in line.text for line in lines):
                time.sleep(0.3)
                continue
            time.sleep(wait)
            # A question that no process lived to accept has to be asked again, as people do.
            lost, self._lost = self._lost, False
            self._official.say(self.openid, self._question if lost else "继续").done.wait(60)
            time.sleep(0.05)
        return False

    def _read(self, text: str) -> None:
        afresh = "刚才的回答中断了" in text
        if text == FAILURE or text.startswith(("正在写", "还在写")):
            return
        if text.startswith("回答：继续"):
            self._lost = True
            return
        body = re.sub(r"\s", "", _NOTES.sub("", text))
        if afresh:
            self.seen = ""
        goes_on = self.expected.startswith(self.seen + body)
        if self.seen and self.expected.startswith(self.seen) and not goes_on and self.seen.endswith(body):
            self.doubled += 1
            return
        self.seen += body


def run(stand: Stand, args: argparse.Namespace, seconds: float) -> Result:
    """Everybody asks, all within `args.within` seconds, and goes on until the answer is whole."""
    result = Result(args.followers)
    before, began = stand.calls(), time.monotonic()
    official = stand.official
    official.pushes.messages.clear()
    followers = [Follower(stand, number, seconds, args.sentences) for number in range(args.followers)]
    patience = 4 * seconds + args.patience

    def one(follower: Follower, at: float) -> None:
        time.sleep(at)
        if follower.run(patience):
            result.right += 1
        else:
            result.wrong.append(f"{follower.openid}: {len(follower.seen)} of {len(follower.expected)}")
        result.doubled += follower.doubled

    threads = [threading.Thread(target=one, args=(f, random.uniform(0, args.within))) for f in followers]
    for thread in threads:
        thread.start()
    stop = threading.Event()
    killer = threading.Thread(target=_kill, args=(stand, args, stop, result))
    if args.kill:
        killer.start()
    for thread in threads:
        thread.join()
    stop.set()
    official.wait_until_quiet()
    result.seconds = time.monotonic() - began
    result.calls = stand.calls() - before
    silences: list[float] = []
    for message in list(official.pushes.messages):
        for attempt in message.attempts:
            if attempt.outcome == "answered":
                result.slowest = max(result.slowest, attempt.took)
            elif attempt.outcome == "timeout":
                silences.append(attempt.sent)
        if message.verdict and message.verdict.kind == "failure":
            result.failures.append(", ".join(f"{each.outcome} {each.took:.2f} s" for each in message.attempts))
    result.silent = len(silences)
    result.most_silent = max((sum(at <= each < at + 300 for each in silences) for at in silences), default=0)
    result.pushed = sum(official.chats.of(follower.openid).sent for follower in followers)
    return result


def _kill(stand: Stand, args: argparse.Namespace, stop: threading.Event, result: Result) -> None:
    while not stop.wait(args.kill):
        master = stand.master() if random.random() < args.kill_master else None
        victims = [master] if master else stand.workers()
        if victims:
            os.kill(random.choice(victims), signal.SIGKILL)
            result.kills += 1
