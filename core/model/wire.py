"""The wire: pooled connections that any thread may cut at any moment.

A response must not be closed by another thread than the one that reads it (under gevent the reader would hang).
So each connection has a second descriptor of its socket, a plain one even under TLS; shutting that down ends
whatever the reader is doing, and the reader then closes its own response.
"""

import http.client
import io
import os
import socket
import threading
import time
from _socket import socket as PlainSocket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from socket import MSG_DONTWAIT, MSG_PEEK, SHUT_RDWR
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from core.errors import ModelError, ModelTimeout, ModelUnavailable

MANY = 32  # URLs to remember; the embedded engine has another one after each start


class Cancelled(Exception):
    """`cancel` was called: nobody wants this completion any more."""


class Refused(ModelError):
    """Asking again is no use."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what requests, urllib3 and sockets raise into the engine's own errors."""
    try:
        yield
    except requests.ConnectTimeout as exc:
        raise ModelUnavailable("the model cannot be reached in time") from exc
    except (requests.Timeout, TimeoutError) as exc:
        raise ModelTimeout("the model took too long") from exc
    except (requests.ConnectionError, http.client.HTTPException, HTTPError) as exc:
        raise ModelUnavailable("the model cannot be reached") from exc
    except requests.RequestException as exc:
        raise Refused("the model cannot be asked like this") from exc
    except OSError as exc:
        raise ModelUnavailable("the connection to the model broke") from exc


class Line:
    """What `cancel` pulls on, whatever the reading thread is doing: reading, connecting or pausing."""

    def __init__(self) -> None:
        self.cancelled = False
        self.connection: Connection | None = None
        self._lock = threading.Lock()
        self._pause: threading.Event | None = None

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            if self.connection is not None:
                self.connection.cut()
            if self._pause is not None:
                self._pause.set()

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._pause = threading.Event()
        self.check()
        self._pause.wait(seconds)
        self.check()

    def hold(self, connection: "Connection") -> None:
        with self._lock:
            self.connection = connection
        self.check()

    def let_go(self) -> None:
        with self._lock:
            connection, self.connection = self.connection, None
        if connection is not None:
            connection.left()


running = threading.local()  # .line: the one whose request this thread is sending


class Addresses:
    """Where hosts are, asked at most every 30 seconds.

    Under gevent a look-up, even of 127.0.0.1, is a call in one of ten native threads, which a busy process lets
    run for a moment now and then: a thousand new connections would wait for seconds.
    """

    KEPT_SECONDS = 30.0

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[float, list[tuple[int, Any]]]] = {}
        self._lock = threading.Lock()

    def of(self, host: str, port: int) -> list[tuple[int, Any]]:
        """(family, address) to try, in this order; raises OSError."""
        with self._lock:
            until, found = self._known.get((host, port), (0.0, []))
            if time.monotonic() > until:
                told = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
                found = [(int(family), address) for family, _, _, _, address in told]
                if len(self._known) > MANY:
                    self._known.clear()
                self._known[host, port] = time.monotonic() + self.KEPT_SECONDS, found
            return found


_addresses = Addresses()


class _Hurried(io.RawIOBase):
    """The beginning of a response, for which the socket's timeout is all the time there is.

    A socket's own timeout begins anew with each byte: headers that drip would outlast every deadline.
    """

    def __init__(self, raw: Any, sock: Any) -> None:
        self._raw, self._socket = raw, sock
        self._by = time.monotonic() + sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._by - time.monotonic()
        if left <= 0:
            raise TimeoutError("the beginning of the response took too long")
        self._socket.settimeout(min(left, self._socket.gettimeout()))
        read: int | None = self._raw.readinto(buffer)
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()


class Connection(HTTPConnection):
    """A connection that its line can cut, and that sends a request in one piece."""

    sock: Any
    plain: PlainSocket | None = None
    line: Line | None = None
    reused = False  # the latest request went over what had been idle
    answer: http.client.HTTPResponse  # to the latest request, and where it is read from
    answer_socket: Any
    _parts: list[bytes] | None = None

    def connect(self) -> None:
        super().connect()
        sock = self.sock
        self.plain = PlainSocket(sock.family, sock.type, sock.proto, os.dup(sock.fileno()))
        self.reused = False
        self._take_line()

    def _new_conn(self) -> Any:
        """As urllib3 does it, but for how the host is looked up."""
        try:
            addresses = _addresses.of(self._dns_host, self.port)
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        failure: OSError = OSError("the host has no address")
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self.timeout)
                sock.connect(address)
                return sock
            except OSError as exc:
                sock.close()
                failure = exc
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"connecting to {self.host} took too long") from failure
        raise NewConnectionError(self, "no connection could be made") from failure

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self.reused = True
            self._take_line()
        self._parts = []
        try:
            super().request(*args, **kwargs)
            parts, self._parts = self._parts, None
            self.send(b"".join(parts))
        finally:
            self._parts = None

    def send(self, data: Any) -> None:
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)

    def response_class(  # type: ignore[override]  # called like the class it stands for
        self, sock: Any, *args: Any, **kwargs: Any
    ) -> http.client.HTTPResponse:
        self.answer_socket = sock
        self.answer = http.client.HTTPResponse(sock, *args, **kwargs)
        self.answer.fp = io.BufferedReader(_Hurried(self.answer.fp.detach(), sock))
        return self.answer

    @property
    def is_connected(self) -> bool:
        """Whether an idle connection can be used again: nothing may have arrived, least of all its end."""
        if self.plain is None or self.sock is None:
            return False
        try:
            self.plain.recv(1, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def cut(self) -> None:
        if self.plain is not None:
            with suppress(OSError):  # it may be closed by the other side
                self.plain.shutdown(SHUT_RDWR)

    def left(self) -> None:
        """The line needs it no more."""
        self.line = None
        if self.sock is None:
            self._close_plain()

    def close(self) -> None:
        super().close()
        if self.line is None:  # with "Connection: close" this is called while the body is still to be read
            self._close_plain()

    def _close_plain(self) -> None:
        if self.plain is not None:
            self.plain.close()
            self.plain = None

    def _take_line(self) -> None:
        line: Line | None = getattr(running, "line", None)
        if line is not None:
            self.line = line
            line.hold(self)


class TlsConnection(Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = TlsConnection


class Adapter(HTTPAdapter):
    """requests' adapter without what a call to a known URL never needs: proxies, cookies, redirects, retries."""

    def __init__(self, pool_size: int, verify: bool | str) -> None:
        self.verify = verify
        self._pools: dict[str | None, Any] = {}
        self._paths: dict[str | None, str] = {}
        self._templates: dict[tuple[str, str, str], requests.PreparedRequest] = {}
        super().__init__(pool_maxsize=pool_size)

    def request(self, method: str, url: str, key: str, body: bytes = b"") -> requests.PreparedRequest:
        """A request ready to send. Preparing costs more than sending, so it is done once per endpoint."""
        template = self._templates.get((method, url, key))
        if template is None:
            template = _prepared(method, url, key)
            if len(self._templates) > MANY:
                self._forget()
            self._templates[method, url, key] = template
            self._paths[template.url] = template.path_url
        request = copy(template)
        if body:
            request.headers = template.headers | {"Content-Length": str(len(body))}  # type: ignore
            request.body = body
        return request

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        pool = self._pools.get(request.url)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, *args, **kwargs)
            self._pools[request.url] = pool
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return self._paths.get(request.url) or request.path_url

    def build_response(self, request: requests.PreparedRequest, raw: Any) -> requests.Response:
        response = _Response()
        response.status_code = raw.status
        response.headers = raw.headers
        response.raw = raw
        return response

    def close(self) -> None:
        self._forget()
        super().close()

    def _forget(self) -> None:
        for known in (self._templates, self._pools, self._paths):
            known.clear()


def _prepared(method: str, url: str, key: str) -> requests.PreparedRequest:
    headers = {"Accept-Encoding": "identity", "Accept": "text/event-stream, application/json"}
    headers["User-Agent"] = "cogito-client"
    if method == "POST":
        headers["Content-Type"] = "application/json"
    if key:
        if not (key.isascii() and key.isprintable()) or key != key.strip():
            raise Refused("the model's key has characters that no HTTP header can carry")
        headers["Authorization"] = f"Bearer {key}"
    request = requests.Request(method, url, headers=headers).prepare()
    request.headers.pop("Content-Length", None)
    request.headers = dict(request.headers)  # type: ignore[assignment]  # copied faster than requests' own
    return request


class _Response(requests.Response):
    def __init__(self) -> None:
        pass  # no cookie jar, no history
