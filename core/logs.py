"""Logging, set up once per process: readable lines for a person, or one line of JSON each."""

import logging
import sys
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=False),
    structlog.stdlib.ExtraAdder(),
]


def set_up(level: str, style: str) -> None:
    """`style` is `console` or `json`. What a user wrote is escaped, so it cannot forge a line."""
    if style == "json":
        renderer: list[Any] = [
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        plain = structlog.dev.plain_traceback
        colours = sys.stderr.isatty()
        renderer = [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain, sort_keys=False)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _one_line, *renderer],
        )
    )
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    for chatty in ("urllib3", "alembic", "sqlalchemy"):
        logging.getLogger(chatty).setLevel("WARNING")


def _one_line(_logger: Any, _name: str, event: Any) -> Any:
    """Line breaks inside a value would look like lines of their own."""
    for key, value in event.items():
        if isinstance(value, str) and key not in ("exception", "stack"):
            event[key] = value.replace("\r", "\\r").replace("\n", "\\n")
    return event
