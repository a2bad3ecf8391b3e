"""How many callback pushes a second two api processes answer, with a model that answers at once.

python -m bench.push_rate [--seconds 15] [--connections 64] [--mode safe] [--again 0.3] [--database URL]

Every push is a question of one of 1,000 followers, on a connection of its own as WeChat opens them; `--again` of them
are delivered a second time. The generator and the model are one light process each, so that they are not what is
measured.
"""

import argparse
import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import cast

import uvloop

from tests.server import Api, free_port, wait_until
from wechat.simulator.account import Account
from wechat.simulator.pushes import Message, WireRequest

KEY, TOKEN, APPID = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "benchtoken", "wxbench"
FOLLOWERS, WARM_SECONDS = 1000, 3.0


class Line(asyncio.Protocol):
    """One delivery."""

    def __init__(self, request: bytes, done: "asyncio.Future[bytes]") -> None:
        self._request, self._done, self._data = request, done, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(self._data)


class Generator:
    def __init__(self, port: int, mode: str, again: float) -> None:
        self._port, self._again = port, again
        self._account = Account(APPID, token=TOKEN, aes_key=KEY, mode=mode)
        self._ids = 24_000_000_000_000_000 + secrets.randbits(40)
        self.times: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self._count = 0

    def request(self) -> bytes:
        self._count += 1
        now = int(time.time())
        fields = {"ToUserName": "gh_bench", "FromUserName": f"o-rate-{self._count * 7919 % FOLLOWERS:04}"}
        fields |= {"MsgType": "text", "Content": "今天适合出门散步吗？"}
        message = Message(fields["FromUserName"], fields | {"CreateTime": now, "MsgId": self._ids + self._count})
        wire = WireRequest(self._account, message)
        head = f"POST /wechat/callback?{wire.query} HTTP/1.1\r\nHost: bench\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*"
        head += f"\r\nConnection: close\r\nContent-Type: text/xml\r\nContent-Length: {len(wire.body)}\r\n\r\n"
        return head.encode() + wire.body

    async def run(self, seconds: float, connections: int) -> float:
        """Pushes a second."""
        self.times.clear()
        self.outcomes.clear()
        began = time.monotonic()
        await asyncio.gather(*(self._sender(began + seconds) for _ in range(connections)))
        return len(self.times) / (time.monotonic() - began)

    async def _sender(self, until: float) -> None:
        due = 0.0
        while time.monotonic() < until:
            request = self.request()
            await self._deliver(request)
            due += self._again
            if due >= 1:
                due -= 1
                await self._deliver(request)

    async def _deliver(self, request: bytes) -> None:
        loop, began = asyncio.get_running_loop(), time.monotonic()
        done: asyncio.Future[bytes] = loop.create_future()
        try:
            await loop.create_connection(lambda: Line(request, done), "127.0.0.1", self._port)
            answer = await asyncio.wait_for(done, 10)
        except (OSError, TimeoutError) as fault:
            answer = type(fault).__name__.encode()
        self.times.append(time.monotonic() - began)
        good = answer.startswith(b"HTTP/1.1 200") and (b"<Encrypt>" in answer or b"<Content>" in answer)
        self.outcomes["text" if good else answer[:12].decode("latin-1") or "nothing"] += 1


def _cpu(pids: list[int]) -> float:
    """Seconds of a core that these processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(args: argparse.Namespace) -> None:
    model_port = free_port()
    command = [sys.executable, "-m", "bench.upstream", str(model_port), "--tokens", "3", "--interval", "0"]
    model = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"wechat_appid": APPID, "wechat_secret": "s", "wechat_token": TOKEN, "wechat_mode": args.mode}
        if args.mode != "plain":
            settings["wechat_aes_key"] = KEY
        api = Api(
            Path(folder),
            model_url=f"http://127.0.0.1:{model_port}/v1/chat/completions",
            database_url=args.database or f"sqlite:///{folder}/chat.db",
            simulator="http://127.0.0.1:1",
            workers=args.workers,
            host="127.0.0.1",
            miniprogram_appid="wx1",
            miniprogram_secret="s",
            **settings,
        )
        try:
            api.wait_ready(60)
            wait_until(lambda: len(api.children()) >= args.workers, 30, "the workers")
            generator = Generator(api.port, args.mode, args.again)
            uvloop.run(generator.run(WARM_SECONDS, args.connections))
            workers = api.children()
            before, load = _cpu(workers), os.getloadavg()[0]
            rate = uvloop.run(generator.run(args.seconds, args.connections))
            cpu = (_cpu(workers) - before) / len(generator.times) * 1000
        finally:
            api.kill()
            model.kill()
            model.wait()
        times = sorted(generator.times)
        p50, p99 = (f"{times[len(times) * percent // 100]:.2f} s" for percent in (50, 99))
        print(
            f"{args.mode:10} {rate:6.0f} pushes/s, {cpu:.2f} ms of a core each (api), p50 {p50}, p99 {p99}, "
            f"slowest {times[-1]:.2f} s, {dict(generator.outcomes)}, load before {load:.1f}"
        )
        if "Traceback" in api.log:
            print(api.log[-3000:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mode", choices=("plain", "compatible", "safe"), default="safe")
    parser.add_argument("--again", type=float, default=0.0, help="share of pushes delivered a second time")
    parser.add_argument("--database", default="")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
