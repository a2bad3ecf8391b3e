"""A TCP relay on loopback that can be shut, cut and made to answer as a serverless MySQL does while it resumes."""

import contextlib
import socket
import struct
import threading
from types import TracebackType

RESUMING = b"CynosDB serverless instance is resuming, please try connecting again"


class Relay:
    """`with Relay(host, port) as relay:` connect to `relay.port` instead."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.resuming = 0  # so many connections meet a server that resumes
        self.interrupt = 0  # so many statements on connections that stand do
        self.accepted = 0
        self.port = 0
        self.open()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()

    def open(self) -> None:
        """Listen (again, at the same port)."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections, and cut those that are open: the server is being restarted."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        with self._lock:
            ends, self._open = self._open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.resuming > 0:
                self.resuming -= 1
                client.sendall(_mysql_error(0, state=b""))
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._open += [client, server]
            for pair in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        try:
            while data := source.recv(65536):
                if asks and self.interrupt > 0 and data[3:5] == b"\0\x03":  # a statement
                    self.interrupt -= 1
                    source.sendall(_mysql_error(1, state=b"#HY000"))
                    continue
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _mysql_error(sequence: int, state: bytes) -> bytes:
    body = b"\xff" + struct.pack("<H", 9449) + state + RESUMING
    return struct.pack("<I", len(body))[:3] + bytes([sequence]) + body
