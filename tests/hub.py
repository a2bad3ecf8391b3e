"""FakeHub: ModelScope and Hugging Face on loopback, with one file, and the faults of real life.

with FakeHub(data) as hub:
    hub.cut_after = [1000]        the next transfer ends after so many bytes (each number once)
    hub.missing.add("modelscope") it has no such file
    hub.requests                  (method, path, Range) of everything that was asked
"""

import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit


class FakeHub:
    def __init__(self, data: bytes, path: str) -> None:
        self.data = data
        self.path = path  # of the file in its repository
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.told_sha256: str | None = self.sha256  # what the hub says it is
        self.cut_after: list[int] = []
        self.missing: set[str] = set()  # "modelscope", "huggingface"
        self.silent: set[str] = set()  # takes the request and never answers
        self.failing = 0  # so many transfers get a 502
        self.ranges = True  # else Range is ignored
        self.slowly = 0.0  # seconds between pieces of 64 KB
        self.requests: list[tuple[str, str, str | None]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> "FakeHub":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def transfers(self, hub: str = "") -> list[tuple[str, str | None]]:
        """(path, Range) of each GET of the file itself."""
        return [(path, asked) for method, path, asked in self.requests if method == "GET" and _is_file(path, hub)]


def _is_file(path: str, hub: str = "") -> bool:
    here = "modelscope" if path.startswith("/models/") else "huggingface"
    return (("/resolve/" in path and here == "modelscope") or path == "/cdn") and hub in ("", here)


class _Server(ThreadingHTTPServer):
    hub: FakeHub
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        hub, path = self.server.hub, urlsplit(self.path).path
        hub.requests.append((self.command, path, self.headers.get("Range")))
        at = "modelscope" if path.startswith(("/models/", "/api/v1/models/")) else "huggingface"
        if at in hub.silent:
            time.sleep(30)
        if at in hub.missing:
            self.answer(404)
        elif path.startswith("/api/v1/models/"):
            entry = {"Path": hub.path, "Size": len(hub.data), "Sha256": hub.told_sha256}
            self.answer(200, json.dumps({"Code": 200, "Data": {"Files": [{"Path": "README.md"}, entry]}}).encode())
        elif path == "/cdn" or path.startswith("/models/"):
            self.send_file(hub)
        elif re.search(r"/resolve/main/", path):  # Hugging Face sends large files from elsewhere
            told = {"X-Linked-ETag": f'"{hub.told_sha256}"'} if hub.told_sha256 else {}
            self.answer(302, headers={"Location": f"{hub.url}/cdn", "X-Linked-Size": str(len(hub.data)), **told})
        else:
            self.answer(404)

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def send_file(self, hub: FakeHub) -> None:
        if hub.failing > 0:
            hub.failing -= 1
            self.answer(502)
            return
        data, begin = hub.data, 0
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "") if hub.ranges else None
        if asked:
            begin = int(asked[1])
            if begin >= len(data):
                self.answer(416, headers={"Content-Range": f"bytes */{len(data)}"})
                return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        end = begin + hub.cut_after.pop(0) if hub.cut_after else len(data)
        for at in range(begin, min(end, len(data)), 65536):
            self.wfile.write(data[at : min(at + 65536, end)])
            time.sleep(hub.slowly)
        if end < len(data):
            self.close_connection = True
