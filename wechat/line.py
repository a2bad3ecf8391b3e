"""The connection a delivery comes through: when it arrived, and a reply in time or no byte at all.

WeChat closes the line after five seconds and delivers again. What is written later nobody sees, and what breaks off
earlier makes WeChat come back at once and tell the follower that the service is broken.
"""

import errno
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from flask import request

CLOSED_SECONDS = 5.0  # when WeChat closes the line
ANSWER_SECONDS = 4.9  # until then a reply still reaches it
SILENT_SECONDS = 6.0  # when we close the line, should WeChat not
_TCP_INFO_LAST_RECEIVED = slice(52, 56)  # tcpi_last_data_recv of Linux' struct tcp_info, in milliseconds


class Line:
    """The connection of the request that is being answered; made as soon as the request is looked at."""

    def __init__(self) -> None:
        found: Any = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
        self._socket: socket.socket | None = found if hasattr(found, "getsockopt") else None
        now = time.monotonic()
        # A busy process comes to a request late; the kernel knows when it came.
        self.arrived = now - min(quiet_for(self._socket), SILENT_SECONDS) if self._socket else now

    def reply(self, data: bytes, unseen: Callable[[], None]) -> Iterator[bytes]:
        """The body of a reply; silence instead, and `unseen` is called, if it is too late for it."""
        if time.monotonic() < self.arrived + ANSWER_SECONDS:
            yield data
            return
        unseen()
        yield from self.silence()

    def silence(self) -> Iterator[bytes]:
        """Wait until WeChat closes the line, then end the connection without having written a byte.

        To the server an app that breaks off before its first byte by a ConnectionError is one whose client has gone.
        """
        end = self.arrived + SILENT_SECONDS
        if self._socket is not None and _closed(self._socket, end - time.monotonic()):
            # A half-closed line looks the same as a closed one: before its time it does not count.
            end = self.arrived + CLOSED_SECONDS
        time.sleep(max(0.0, end - time.monotonic()))
        raise ConnectionResetError(errno.ECONNRESET, "left unanswered on purpose")
        yield b""


def quiet_for(line: socket.socket) -> float:
    """Seconds since the other side's last data reached this machine, read or not; 0 where that is not known."""
    if not hasattr(socket, "TCP_INFO"):
        return 0.0
    try:
        info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    except OSError:
        return 0.0
    return int.from_bytes(info[_TCP_INFO_LAST_RECEIVED], "little") / 1000


def _closed(line: socket.socket, seconds: float) -> bool:
    """Wait for the other side to close; False if it sends more instead, or does not within the time."""
    if seconds <= 0:
        return False
    try:
        line.settimeout(seconds)
        return line.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
