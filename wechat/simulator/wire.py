"""One exchange with the account's server, as WeChat makes it: within so many seconds, or the line is closed."""

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from wechat.line import quiet_for

LOOK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Answer:
    """`failure` is empty, or why there is no answer: timeout, refused, closed. Times are monotonic."""

    sent: float  # when the request was on its way
    came: float  # when the answer was here, or the failure
    failure: str = ""
    status: int = 0
    body: bytes = b""


def exchange(
    method: str,
    url: str,
    query: str,
    body: bytes,
    content_type: str,
    seconds: float,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """The clock starts with the request and is the kernel's: a busy simulator makes nobody late, nor in time."""
    parts, sent = urlsplit(url), time.monotonic()
    request = _request(method, parts.netloc, parts.path or "/", query, body, content_type, headers or {})
    port = parts.port or (443 if parts.scheme == "https" else 80)
    data = b""
    try:
        plain = socket.create_connection((parts.hostname or "", port), timeout=max(0.01, seconds))
        line: socket.socket = plain
        if parts.scheme == "https":
            line = ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)
        with line:
            line.sendall(request)
            sent = came = time.monotonic()
            while True:
                line.settimeout(max(LOOK_SECONDS, sent + seconds - time.monotonic()))
                piece = line.recv(65536)
                if not piece:
                    break
                came = time.monotonic() - quiet_for(line)
                if came > sent + seconds:
                    raise TimeoutError
                data += piece
    except TimeoutError:
        return Answer(sent, time.monotonic(), "timeout")
    except ConnectionRefusedError:
        return Answer(sent, time.monotonic(), "refused")
    except OSError:
        return Answer(sent, time.monotonic(), "closed")
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        return Answer(sent, time.monotonic(), "closed")
    if b"transfer-encoding: chunked" in head.lower():
        rest = _dechunked(rest)
    return Answer(sent, came, status=int(head.split(b" ", 2)[1]), body=rest)


def _request(
    method: str, host: str, path: str, query: str, body: bytes, content_type: str, headers: Mapping[str, str]
) -> bytes:
    lines = [f"{method} {path}{'?' if query else ''}{query} HTTP/1.1", f"Host: {host}", "User-Agent: Mozilla/4.0"]
    lines += ["Accept: */*", "Connection: close", "Pragma: no-cache"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _dechunked(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size.split(b";")[0] or b"0", 16)
        if not count:
            break
        whole, data = whole + data[:count], data[count + 2 :]
    return whole
