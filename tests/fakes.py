"""FakeCogito: a real HTTP/1.1 server on loopback that speaks `/v1/chat/completions` the way llama.cpp does.

    with FakeCogito() as fake:
        fake.will_say("Hel", "lo")                      the next answer, in two deltas
        fake.will(pieces=["a", "b"], cut_at=1)          … any `Script`
        fake.when("weather", status=503)                every question that contains this, whoever asks
        fake.wait_for(lambda: fake.aborted == 1)        until it has happened (TimeoutError otherwise)

Unscripted, `hello` is answered with `回答：hello`. A question may also script itself, which works from other
processes: `[tokens:50@0.05] [slow:3] [prefill:3] [pause:4@2] [every:0.1] [cut:3] [status:503] [say:text]
[think:text] [empty] [overflow] [hold:2]` (`scripted_by` in scripts.py). What a question says comes before
what is queued.

`python -m tests.fakes PORT` runs it alone: GET /_calls answers its counters, POST /_will queues a script,
POST /_release ends all `hold_at`.
"""

import contextlib
import json
import select
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.scripts import (
    LOADING,
    MODEL,
    Script,
    echo,
    events,
    failure,
    overflow,
    question_of,
    scripted_by,
    whole,
)


class ClientGone(Exception):
    """The client closed the connection before the answer was complete."""


class Cut(Exception):
    """The script says to drop the connection here."""


class FakeCogito:
    """Counters: `calls`, `active`, `peak`, `finished`, `aborted` (closed by the client), `connections`."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.calls = self.active = self.peak = self.finished = self.aborted = self.connections = 0
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.healthy = True
        self.context_tokens: int | None = None  # longer prompts (a character = a token) overflow
        self.default: Callable[[dict[str, Any]], Script] = echo
        self.tls = tls
        self.changed = threading.Condition()
        self._queue: deque[Script] = deque()
        self._rules: list[tuple[str, Script]] = []
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.fake = self
        self.port = self._server.server_address[1]
        self.root = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.url = f"{self.root}/v1/chat/completions"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> "FakeCogito":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and drop every connection, as a killed model would."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.drop_connections()

    # Scripting

    def will(self, script: Script | None = None, *, times: int = 1, **fields: Any) -> None:
        """Queue a script for the next request (or the next `times`)."""
        script = replace(script or Script(), **fields)
        with self.changed:
            self._queue.extend([script] * times)

    def will_say(self, *pieces: str, **fields: Any) -> None:
        self.will(pieces=pieces, **fields)

    def will_fail(self, status: int, *, retry_after: str | int | None = None, times: int = 1) -> None:
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.will(failure(status, "server_error", "scripted failure"), times=times, headers=headers)

    def will_be_loading(self, times: int = 1) -> None:
        self.will(LOADING, times=times)

    def will_overflow(self, prompt_tokens: int = 9000, context_tokens: int = 8192) -> None:
        self.will(overflow(prompt_tokens, context_tokens))

    def when(self, words: str, script: Script | None = None, **fields: Any) -> None:
        """Answer every question that contains `words` like this, from now on."""
        with self.changed:
            self._rules.append((words, replace(script or Script(), **fields)))

    def release(self) -> None:
        """Let every `hold_at` go on, those to come included."""
        self._released.set()

    def hold_again(self) -> None:
        self._released.clear()

    def forget(self) -> None:
        """Nothing is queued, ruled or released any more; what was counted stays."""
        with self.changed:
            self._queue.clear()
            self._rules.clear()
            self.hold_again()

    # Watching

    @property
    def questions(self) -> list[str]:
        return [question_of(body) for body in list(self.requests)]

    def wait_for(self, predicate: Callable[[], bool], timeout: float = 5) -> None:
        with self.changed:
            if not self.changed.wait_for(predicate, timeout):
                raise TimeoutError(f"it did not happen within {timeout} s; counters: {self.counters()}")

    def counters(self) -> dict[str, Any]:
        names = ("calls", "active", "peak", "finished", "aborted", "connections")
        return {name: getattr(self, name) for name in names} | {"questions": self.questions}

    # Used by the handler

    def begin(self, body: dict[str, Any], headers: dict[str, str]) -> Script:
        with self.changed:
            self.calls += 1
            self.active += 1
            self.peak = max(self.peak, self.active)
            self.requests.append(body)
            self.headers.append(headers)
            script = self._choose(body)
            self.changed.notify_all()
            return script

    def count(self, **changes: int) -> None:
        with self.changed:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)
            self.changed.notify_all()

    def released(self) -> bool:
        return self._released.is_set()

    def _choose(self, body: dict[str, Any]) -> Script:
        question = question_of(body)
        size = sum(len(str(message.get("content"))) for message in body.get("messages", ()))
        if self.context_tokens is not None and size > self.context_tokens:
            return overflow(size, self.context_tokens)
        for words, script in self._rules:
            if words in question:
                return script
        return scripted_by(question) or (self._queue.popleft() if self._queue else self.default(body))


class _Server(ThreadingHTTPServer):
    fake: FakeCogito
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.open: dict[socket.socket, threading.Thread] = {}

    def drop_connections(self) -> None:
        for connection, thread in list(self.open.items()):
            with contextlib.suppress(OSError):  # it may be closing already
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0

    def setup(self) -> None:
        self.fake = self.server.fake
        self.plain_socket = self.request
        self.server.open[self.plain_socket] = threading.current_thread()
        if self.fake.tls:
            self.request = self.fake.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        self.fake.count(connections=1)

    def finish(self) -> None:
        super().finish()
        if self.fake.tls:
            self.request.close()
        self.server.open.pop(self.plain_socket, None)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/_calls":
            self.answer(json.dumps(self.fake.counters()))
        elif self.path not in ("/health", "/v1/models"):
            self.answer('{"error":{"code":404,"message":"File Not Found"}}', 404)
        elif self.fake.healthy:
            self.answer(json.dumps({"status": "ok", "object": "list", "data": [{"id": MODEL}]}))
        else:
            self.answer(str(LOADING.body), 503)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw or b"{}")
        if self.path == "/_will":
            self.fake.will(**body)
            self.answer("{}")
        elif self.path == "/_release":
            self.fake.release()
            self.answer("{}")
        elif self.path.endswith("/input_tokens"):
            self.answer(json.dumps({"input_tokens": sum(len(m["content"]) for m in body["messages"])}))
        else:
            self.complete(body)

    def complete(self, body: dict[str, Any]) -> None:
        script = self.fake.begin(body, dict(self.headers))
        try:
            self.play(script, body)
        except (ClientGone, OSError):
            self.close_connection = True
            self.fake.count(active=-1, aborted=1)
        except Cut:
            self.close_connection = True
            self.fake.count(active=-1, finished=1)
        else:
            self.fake.count(active=-1, finished=1)

    def play(self, script: Script, body: dict[str, Any]) -> None:
        self.rest(script.prefill)
        self.stop_at(script, -1)
        if script.body is not None:
            self.answer(script.body, script.status, script.content_type, script.headers)
        elif script.plain or not body.get("stream"):
            self.answer(json.dumps(whole(script)), script.status, headers=script.headers)
        else:
            self.stream(script)
        if not script.keep_alive:
            self.close_connection = True

    def answer(
        self,
        body: str | bytes,
        status: int = 200,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"Content-Type": content_type, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, script: Script) -> None:
        self.send_response(script.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in script.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if script.together:
            self.chunk("".join(event for event, _ in events(script)).encode(), script.split)
        else:
            for event, number in events(script):
                self.pause_before(script, number)
                self.chunk(event.encode(), script.split)
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, data: bytes, split: int) -> None:
        for at in range(0, len(data), split or len(data)):
            part = data[at : at + (split or len(data))]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))

    def pause_before(self, script: Script, number: int | None) -> None:
        """Wait as the script says before delta `number` (None: what comes after the last)."""
        if number is None:
            return
        if number == 0:
            self.rest(script.slow)
        elif number < len(script.reasoning) + len(script.pieces):
            self.rest(script.every)
        if number == script.pause_at:
            self.rest(script.pause)
        self.stop_at(script, number)

    def stop_at(self, script: Script, number: int) -> None:
        if script.cut_at == number:
            raise Cut
        while script.hold_at == number and not self.fake.released():
            self.rest(0.01)

    def rest(self, seconds: float) -> None:
        """Sleep, but notice at once when the client goes away."""
        if seconds <= 0:
            return
        end = time.monotonic() + seconds
        watcher = select.poll()
        watcher.register(self.plain_fd(), select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            if watcher.poll(left * 1000):
                raise ClientGone  # no client of ours pipelines, so whatever is readable is the end

    def plain_fd(self) -> int:
        return int(self.connection.fileno())


if __name__ == "__main__":
    standing = FakeCogito(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(standing.url, flush=True)
    threading.Event().wait()
