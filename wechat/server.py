"""A WSGI app under gunicorn's gevent worker, started from Python.

    run(build_app, host="127.0.0.1", port=8000, workers=2, graceful_seconds=30, lifecycle=api)

The app is built in each worker, after the fork. At SIGTERM or Ctrl-C a worker calls `lifecycle.sigterm()`,
takes no more connections, waits for its requests, calls `lifecycle.stop()` and ends; a second Ctrl-C cuts
that short.
"""

import errno
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import gevent
from gevent import monkey
from gevent.event import Event
from gevent.pool import Group, Pool
from gevent.server import StreamServer
from gunicorn import glogging, util
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.workers.ggevent import GeventWorker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

from wechat import problems
from wechat.processes import BACKLOG, inherited_listener, listen

log = logging.getLogger(__name__)

CONNECTIONS = 10_000
KEEPALIVE_SECONDS = 5
HEARTBEAT_SECONDS = 60
SEND_SECONDS = 60.0  # a reader who has taken nothing for so long is gone, or means us no good
RESERVE_SECONDS = 3  # connections open this long before the end are cut, so that `stop()` has its turn


class Lifecycle(Protocol):
    """What lives in a worker beside its requests. All three are called in the worker, each at most once."""

    def start(self) -> None:
        """The app is built, nothing is served yet. What is raised here stops the whole server."""

    def sigterm(self) -> None:
        """We are to end; requests in flight go on. It runs beside them, and is waited for."""

    def stop(self) -> None:
        """The requests are over. The worker is killed `graceful_seconds` after the SIGTERM at the latest."""


class _NothingBeside:
    """The lifecycle of a worker that has only its requests."""

    def start(self) -> None:
        pass

    sigterm = stop = start


def run(
    build_app: "Callable[[], WSGIApplication]",
    *,
    host: str,
    port: int,
    port_variable: str = "PORT",
    workers: int,
    graceful_seconds: float,
    lifecycle: Lifecycle | None = None,
    worker_class: "type[Worker] | None" = None,
    send_seconds: float = SEND_SECONDS,
) -> None:
    """Serve until SIGTERM. It never returns: here and in each worker it forks it ends in `SystemExit`."""
    if not monkey.is_module_patched("socket"):
        raise RuntimeError("gevent.monkey.patch_all() must run before anything else is imported")
    listener = inherited_listener() or listen(host, port, port_variable)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # of Linux; every connection inherits it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(send_seconds * 1000))
    util.write_error = _write_problem
    settings = {
        "bind": f"fd://{listener.fileno()}",
        "backlog": BACKLOG,
        "workers": workers,
        "worker_class": worker_class or Worker,
        "worker_connections": CONNECTIONS,
        "max_requests": 0,  # it would kill the writers beside the requests
        "keepalive": KEEPALIVE_SECONDS,
        "timeout": HEARTBEAT_SECONDS,
        "graceful_timeout": max(1, int(graceful_seconds)),
        "logger_class": _Log,
        "control_socket_disable": True,
        "forwarded_allow_ips": "",  # whose X-Forwarded-* to believe is the app's business
        "secure_scheme_headers": {},
        "reuse_port": False,
    }
    address = listener.getsockname()
    log.info("listening on http://%s:%d with %d workers", host, address[1], workers)
    listener.detach()  # gunicorn closes this descriptor when it has made its own
    _Master(_Server(build_app, lifecycle or _NothingBeside(), settings)).run()


class _Server(BaseApplication):  # type: ignore[misc]
    """Our settings in gunicorn's terms; no command line, no file and no variable is read."""

    def __init__(
        self, build_app: "Callable[[], WSGIApplication]", lifecycle: Lifecycle, settings: dict[str, Any]
    ) -> None:
        self.build_app = build_app
        self.lifecycle = lifecycle
        self.settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.settings.items():
            self.cfg.set(name, value)

    def load(self) -> "WSGIApplication":
        return self.build_app()


class _Master(Arbiter):  # type: ignore[misc]
    """gunicorn's master. Ctrl-C and a closed terminal stop it as gently as SIGTERM does."""

    halting = False
    handle_int = Arbiter.handle_term
    handle_hup = Arbiter.handle_term

    def spawn_worker(self) -> Any:
        # Between the fork and the worker's own handlers a SIGTERM would be lost, and waited for in vain.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        if exit_status:
            print("服务没能启动，原因见上面的日志。", file=sys.stderr, flush=True)
        self.halting = True
        super().halt(reason, exit_status)

    def reap_workers(self) -> None:
        try:
            super().reap_workers()
        except HaltServer:
            if not self.halting:  # a second worker that could not start either
                raise


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker, with a lifecycle beside its requests."""

    alive: bool

    def init_signals(self) -> None:
        self._told = Event()
        self._told_at = 0.0
        self._leaving = Group()
        super().init_signals()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us all; the master decides
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def load_wsgi(self) -> None:
        try:
            super().load_wsgi()
            self.app.lifecycle.start()
        except SystemExit as exit:
            if not exit.code:
                raise
            if isinstance(exit.code, str):
                print(exit.code, file=sys.stderr, flush=True)
            # With any other code the master takes it for a worker that died, and replaces it for ever.
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def handle_exit(self, sig: int, frame: object) -> None:
        if self.alive:
            self.alive = False
            self._told_at = time.monotonic()
            if self.booted:
                self._leaving.spawn(self.app.lifecycle.sigterm)
            self._told.set()

    def notify(self) -> None:
        """The heartbeat. Without a master we end too, but as gently as by SIGTERM."""
        self.tmp.notify()
        if self.ppid != os.getppid():
            self.handle_exit(signal.SIGTERM, None)

    def run(self) -> None:
        """Like gunicorn's own, which looks only once a second and leaves no time for `stop()`."""
        servers = [self._serve(listener) for listener in self.sockets]
        try:
            while self.alive:
                self.notify()
                self._told.wait(1)
            for server in servers:
                server.close()
            self._finish(servers)
        finally:
            self.app.lifecycle.stop()

    def _serve(self, listener: Any) -> Any:
        listener.setblocking(1)
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=Pool(self.worker_connections))
        if self.cfg.workers > 1:
            server.max_accept = 1  # leave some for the others
        server.start()
        return server

    def _finish(self, servers: list[Any]) -> None:
        """Wait for the connections, cut those that take too long, and wait for `sigterm()`."""
        graceful = self.cfg.graceful_timeout
        end = self._told_at + graceful
        pools = [server.pool for server in servers]
        while any(pools) and time.monotonic() < end - min(RESERVE_SECONDS, graceful / 4):
            self.notify()
            gevent.sleep(0.05)
        if any(pools):
            log.warning("%d connections are cut", sum(map(len, pools)))
            for pool in pools:
                pool.kill(timeout=0.2)
        self._leaving.join(timeout=max(0, end - time.monotonic()))


class _Log(glogging.Logger):  # type: ignore[misc]
    """gunicorn's warnings and errors, in our own log; its chatter nowhere."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.setLevel(logging.WARNING)
        self.error_log.propagate = True
        self._access_log_enabled = False

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        fault = sys.exc_info()[1]
        if isinstance(fault, OSError) and fault.errno == errno.ETIMEDOUT:
            self.error_log.info("a reader took nothing for too long; the connection is closed")
        else:
            super().exception(msg, *args, **kwargs)


def _write_problem(line: socket.socket, status: int, reason: str, _about: str) -> None:
    """What gunicorn answers by itself, where no app has seen a request: in the shape of all our errors."""
    request_id = secrets.token_hex(8)
    body = problems.outside_of_a_request(status, request_id)
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {problems.CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-Id: {request_id}\r\n\r\n"
    )
    util.write_nonblock(line, head.encode() + body)
