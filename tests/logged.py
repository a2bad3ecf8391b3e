"""For tests that run a command in their own process: it sets up the log, which is put back afterwards."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from core.logs import CHATTY


@contextmanager
def logged_elsewhere() -> Iterator[None]:
    handlers = logging.root.handlers[:]
    levels = {name: logging.getLogger(name).level for name in (None, *CHATTY)}
    try:
        yield
    finally:
        logging.root.handlers[:] = handlers
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
