"""One request and its response, read as fast as it comes."""

import http.client
from collections.abc import Mapping
from contextlib import suppress
from ssl import SSLWantReadError
from typing import Any

import requests
from urllib3.connection import HTTPSConnection

from core.model.wire import Adapter, Line, running

READ_BYTES = 16 * 1024
SHORTEST_WAIT = 0.001  # for what has come already; 0 would mean something else to sockets


class Exchange:
    """One request and its response."""

    def __init__(self, line: Line, adapter: Adapter) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.ended = False
        self._line = line
        self._adapter = adapter
        self._raw: Any = None

    def send(self, request: requests.PreparedRequest, connect_seconds: float, seconds: float) -> None:
        """Send it, and return when the headers of the response are there."""
        timeout = (max(connect_seconds, SHORTEST_WAIT), max(seconds, SHORTEST_WAIT))
        running.line = self._line
        try:
            response = self._adapter.send(request, stream=True, timeout=timeout, verify=self._adapter.verify)
        finally:
            running.line = None
        connection = self._line.connection
        assert connection is not None
        self.status, self.headers, self._raw = response.status_code, response.headers, response.raw
        self._answer = connection.answer
        self._socket = connection.answer_socket
        self._receive = self._answer.fp.read1  # what came with the headers; from then on the socket itself
        self._records = isinstance(connection, HTTPSConnection)
        self._chunks = Chunks() if self._answer.chunked else None
        self._left = self._answer.length

    @property
    def reused(self) -> bool:
        """Whether it was sent over a connection that had been idle, and may have died in that time."""
        return self._line.connection is not None and self._line.connection.reused

    def read(self, seconds: float) -> bytes:
        """All that has come, having waited up to `seconds` for the first of it; b"" is not yet the end."""
        if self._left == 0:
            self.ended = True
            return b""
        self._socket.settimeout(max(seconds, SHORTEST_WAIT))
        data: bytes = self._receive(READ_BYTES)
        self._receive = self._socket.recv
        self._line.check()
        if not data:
            if self._chunks or self._left:
                raise ConnectionResetError("the response ended early")
            self.ended = True
            return b""
        if self._records or len(data) == READ_BYTES:
            data += self._more()
        if self._chunks is not None:
            data = self._chunks.feed(data)
            self.ended = self._chunks.ended
        elif self._left is not None:
            self._left -= len(data)
        return data

    def _more(self) -> bytes:
        """What else is there: TLS hands out one record at a time, and a token usually is one."""
        parts = []
        self._socket.settimeout(0)
        with suppress(BlockingIOError, SSLWantReadError):
            while part := self._socket.recv(READ_BYTES):
                parts.append(part)
        return b"".join(parts)

    def leave(self) -> None:
        """Give the connection back if the response was read to its end; else close it."""
        self._line.let_go()  # before another line may get it from the pool
        if self._raw is None:
            return
        if self.ended and not self._answer.will_close and not (self._chunks and self._chunks.rest):
            self._answer.close()
            self._raw.release_conn()
        else:
            self._raw.close()


class Chunks:
    """Takes the chunked transfer encoding off, however the bytes were cut."""

    def __init__(self) -> None:
        self.ended = False
        self.rest = b""  # an incomplete line; after the end, what has no business there
        self._left = 0  # of the current chunk
        self._line_end = 0  # bytes of the line end after it
        self._trailer = False

    def feed(self, data: bytes) -> bytes:
        data, self.rest = self.rest + data, b""
        parts = []
        at = 0
        while at < len(data) and not self.ended:
            if self._left:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                self._line_end = 0 if self._left else 2
            elif self._line_end:
                at += 1
                self._line_end -= 1
            else:
                end = data.find(b"\n", at)
                if end < 0:
                    break
                self._line(data[at:end].strip())
                at = end + 1
        self.rest = data[at:]
        if len(self.rest) > 1000 and not self.ended:
            raise http.client.HTTPException("a chunk's size has no end")
        return b"".join(parts)

    def _line(self, line: bytes) -> None:
        if self._trailer:
            self.ended = not line
            return
        try:
            self._left = int(line.partition(b";")[0], 16)
        except ValueError:
            raise http.client.HTTPException("a chunk without its size") from None
        if self._left < 0:
            raise http.client.HTTPException("a chunk of negative size")
        self._trailer = not self._left
