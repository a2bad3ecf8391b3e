"""A model for benchmarks: fast enough never to be what is measured. Times are written into the tokens.

    python -m bench.upstream PORT [--delay MS] [--interval MS] [--tokens N]

Every POST is answered: streamed if it asks for that, else whole. The first token holds `A<ns>;`, when the request
arrived, and each holds `T<ns>;`, when it was sent, both on the monotonic clock that the load client shares.
"""

import argparse
import asyncio
import heapq
import time

import uvloop

BURST = 500  # tokens sent before new requests are looked at again
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = (
    'data: {"object":"chat.completion.chunk","model":"bench","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
)
END = (
    b'data: {"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":20,"total_tokens":40}}\n\ndata: [DONE]\n\n'
)
WHOLE = (
    '{"object":"chat.completion","model":"bench","choices":[{"index":0,"message":{"role":"assistant",'
    '"content":"你好，我是助手。今天天气很好，适合出门散步。"},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":20,"completion_tokens":20,"total_tokens":40}}'
).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """One connection; what is due is kept in one heap for all of them."""

    due: list[tuple[float, int, "Upstream"]] = []  # noqa: RUF012 (shared on purpose)
    pushed = 0

    def __init__(self, delay: float, interval: float, tokens: int) -> None:
        self.delay, self.interval, self.tokens = delay, interval, tokens
        self.buffer = b""
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return
        body = self.buffer[end + 4 : end + 4 + length]
        self.buffer = b""
        self.arrived = time.monotonic_ns()
        self.streams = b'"stream":true' in body.replace(b" ", b"")
        self.left = self.tokens
        self.at = self.arrived / 1e9 + self.delay
        self.push()

    def push(self) -> None:
        Upstream.pushed += 1
        heapq.heappush(self.due, (self.at, Upstream.pushed, self))

    def fire(self) -> None:
        if self.gone:
            return
        if not self.streams:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(WHOLE)
            self.transport.write(head + WHOLE)
        elif self.left:
            mark = f"T{time.monotonic_ns()};"
            first = self.left == self.tokens
            self.left -= 1
            token = _chunk((TOKEN % (f"A{self.arrived};{mark}" if first else mark)).encode())
            self.transport.write(HEAD + token if first else token)
            self.at += self.interval
            self.push()
        else:
            self.transport.write(_chunk(END) + b"0\r\n\r\n")


async def _fire_what_is_due() -> None:
    while True:
        await asyncio.sleep(0.001)
        now = time.monotonic()
        for _ in range(BURST):
            if not Upstream.due or Upstream.due[0][0] > now:
                break
            heapq.heappop(Upstream.due)[2].fire()


async def serve(port: int, delay: float, interval: float, tokens: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(delay, interval, tokens), "127.0.0.1", port, backlog=4096)
    task = loop.create_task(_fire_what_is_due())
    print("ready", flush=True)
    await asyncio.sleep(seconds)
    task.cancel()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0, help="ms before the first token")
    parser.add_argument("--interval", type=float, default=50, help="ms from token to token")
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=600, help="then it ends by itself")
    given = parser.parse_args()
    uvloop.run(serve(given.port, given.delay / 1000, given.interval / 1000, given.tokens, given.seconds))
