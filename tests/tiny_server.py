"""`python -m tests.tiny_server PORT WORKERS GRACEFUL_SECONDS`: what test_server.py starts; it tells on stdout."""

# ruff: noqa: E402
import atexit
import gc

from gevent import monkey

monkey.patch_all()
gc.set_threshold(20_000, 20, 50)  # as app.py does: it starts and ends in less time
atexit.register(gc.freeze)

import logging
import os
import socket
import sys
from threading import Event

from wechat.server import run

told = Event()


def say(*words):
    print(*words, flush=True)


class Tiny:
    def start(self):
        if os.environ.get("FAIL") == "start":
            raise ConnectionError("no database")
        say("start", os.getpid())

    def sigterm(self):
        say("sigterm")
        told.set()

    def stop(self):
        say("stop", os.getpid())


def build():
    if os.environ.get("FAIL") == "build":
        raise ConnectionError("no database")
    if os.environ.get("FAIL") == "exit":
        sys.exit("设置不对。")
    return app


def app(environ, start_response):
    answer = b""
    match environ["PATH_INFO"]:
        case "/pid":
            answer = str(os.getpid()).encode()
        case "/scheme":
            answer = environ["wsgi.url_scheme"].encode()
        case "/nodelay":
            on = environ["gunicorn.socket"].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            answer = str(bool(on)).encode()
        case "/until-told":
            say("request begins")
            told.wait()
            say("request ends")
            answer = b"finished"
        case "/endless":
            start_response("200 OK", [])
            return endless()
        case "/body":
            say("request begins")
            answer = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


def endless():
    say("stream begins")
    try:
        while True:
            yield b"." * 65536
    finally:
        say("stream ends")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    port, workers, graceful = map(int, sys.argv[1:])
    send = {"send_seconds": float(os.environ["SEND_SECONDS"])} if "SEND_SECONDS" in os.environ else {}
    run(build, host="127.0.0.1", port=port, workers=workers, graceful_seconds=graceful, lifecycle=Tiny(), **send)
