"""Followers of the official account under load and kills, against the desk simulator.

python -m bench.bench_callback                         every model time, both kinds of account, the modes in turn
python -m bench.bench_callback --model 3 --kill 3      a 3 s model, kill -9 of a random api process every 3 s
python -m bench.bench_callback --rate                  pushes a second, with a model that answers at once

Every follower asks once, all within `--within` seconds, and keeps answering 继续 until the answer is whole. Shown per
run: whole and right answers, model calls, the slowest answered delivery, deliveries left unanswered, 服务出现故障.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import argparse
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from gevent.pywsgi import WSGIServer

from core.settings import SIMULATOR_APPID, SIMULATOR_OFFICIAL_APPID, SIMULATOR_SECRET
from tests.server import Api, free_port, wait_until
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
    answered: int = 0
    silent: int = 0
    failures: int = 0
    doubled: int = 0
    kills: int = 0
    pushed: int = 0
    seconds: float = 0.0


class Stand:
    """A simulator, a scripted model and one api with several worker processes."""

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
        defaults = {"workers": workers, "wechat_token": TOKEN, "wechat_aes_key": KEY, "wechat_mode": mode}
        self.api = Api(
            folder,
            model_url=f"{self.model_url}/v1/chat/completions",
            database_url=database,
            simulator=f"http://127.0.0.1:{port}",
            wechat_customer_service=int(pushes),
            **(defaults | settings),
        )
        self.account.callback = f"{self.api.url}/wechat/callback"

    def wait_ready(self) -> None:
        wait_until(lambda: self._calls() is not None, 60, "the start of the model")
        self.api.wait_ready(60)
        time.sleep(1)

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
        self.api.kill()
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
    killer = threading.Thread(target=_kill, args=(stand, args.kill, stop, result))
    if args.kill:
        killer.start()
    for thread in threads:
        thread.join()
    stop.set()
    official.wait_until_quiet()
    result.seconds = time.monotonic() - began
    result.calls = stand.calls() - before
    for message in list(official.pushes.messages):
        for attempt in message.attempts:
            took = (attempt.end or 0) - attempt.began
            if attempt.outcome == "answered":
                result.answered += 1
                result.slowest = max(result.slowest, took)
            elif attempt.outcome == "timeout":
                result.silent += 1
        if message.verdict and message.verdict.kind == "failure":
            result.failures += 1
    result.pushed = sum(official.chats.of(follower.openid).sent for follower in followers)
    return result


def _kill(stand: Stand, every: float, stop: threading.Event, result: Result) -> None:
    while not stop.wait(every):
        workers = stand.api.children()
        if workers:
            os.kill(random.choice(workers), signal.SIGKILL)
            result.kills += 1


def rate(stand: Stand, seconds: float, connections: int) -> None:
    """How many pushes a second are answered, each a question of its own."""
    done, slow, bad = [0], [0.0], [0]
    stop = time.monotonic() + seconds

    def pusher(number: int) -> None:
        while time.monotonic() < stop:
            began = time.monotonic()
            message = stand.official.pushes.send(
                f"o-rate-{number}-{done[0] % 8}", {"MsgType": "text", "Content": "[say:回答好了。]"}
            )
            message.done.wait(30)
            done[0] += 1
            slow[0] = max(slow[0], time.monotonic() - began)
            bad[0] += message.verdict is None or message.verdict.kind != "text"

    threads = [threading.Thread(target=pusher, args=(number,)) for number in range(connections)]
    before = _cpu(stand.api.children())
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    cpu = (_cpu(stand.api.children()) - before) / done[0] * 1000
    print(
        f"{done[0] / took:8.0f} pushes/s, {cpu:.1f} ms of a core each (api), slowest {slow[0]:.2f} s, "
        f"{bad[0]} not answered with text"
    )


def _cpu(pids: list[int]) -> float:
    """Seconds of a core that these processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=float, action="append", help="seconds per answer")
    parser.add_argument("--mode", action="append", choices=("plain", "compatible", "safe"))
    parser.add_argument("--kind", choices=("passive", "push", "both"), default="both")
    parser.add_argument("--followers", type=int, default=200)
    parser.add_argument("--within", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sentences", type=int, default=30)
    parser.add_argument("--patience", type=float, default=90.0)
    parser.add_argument("--kill", type=float, default=0.0, help="kill -9 a random api process every so many seconds")
    parser.add_argument("--database", default="")
    parser.add_argument("--rate", action="store_true")
    args = parser.parse_args()
    modes = args.mode or ["safe", "plain", "compatible"]
    kinds = {"passive": [False], "push": [True], "both": [False, True]}[args.kind]
    print(
        f"{'account':8} {'mode':10} {'model':>5}  {'right':>9} {'calls':>5} {'slowest':>7} {'silent':>6} "
        f"{'failed':>6} {'doubled':>7} {'pushed':>6} {'kills':>5} {'took':>6}"
    )
    runs = [(pushes, seconds) for pushes in kinds for seconds in (args.model or [1, 3, 6, 12, 40])]
    for number, (pushes, seconds) in enumerate(runs):
        mode = modes[number % len(modes)]
        with tempfile.TemporaryDirectory() as folder:
            database = args.database or f"sqlite:///{folder}/chat.db"
            stand = Stand(Path(folder), mode=mode, pushes=pushes, workers=args.workers, database=database)
            try:
                stand.wait_ready()
                if args.rate:
                    rate(stand, 15, 64)
                    return
                result = run(stand, args, seconds)
            finally:
                stand.close()
            errors = stand.api.log.count("Traceback")
            print(
                f"{'push' if pushes else 'passive':8} {mode:10} {seconds:5g}  {result.right:4}/{result.followers:4} "
                f"{result.calls:5} {result.slowest:6.2f}s {result.silent:6} {result.failures:6} "
                f"{result.doubled:7} {result.pushed:6} {result.kills:5} {result.seconds:5.0f}s"
                + (f"  {errors} tracebacks" if errors else ""),
                flush=True,
            )
            for line in result.wrong[:5]:
                print("   ", line)
            if errors:
                print(stand.api.log[-3000:])


if __name__ == "__main__":
    main()
