"""Logging, set up once per process: readable lines for a person, or one line of JSON each.

What `bind` is given (request_id, turn_id) is in every line that is logged from then on in the same request or
thread. A secret that is configured never reaches a line, whoever put it there; what a user wrote cannot begin a
line of its own, nor speak to a terminal.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

ACCESS = "access"  # the logger of finished requests; its records carry `fields`
CHATTY = ("urllib3", "alembic", "sqlalchemy")
HIDDEN = "***"
_SHORTEST_SECRET = 6  # a shorter one would be hidden in half of all words
# Control characters, line breaks that only some programs take for such, and what turns the direction of text.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

bind = structlog.contextvars.bind_contextvars
forget = structlog.contextvars.clear_contextvars


def set_up(level: str, style: str, secrets: Iterable[str] = ()) -> None:
    """`style` is `console` or `json`; `secrets` are the values that must not be seen."""
    _hide(secrets)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if style == "json" else _Console())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel("WARNING")


def redacted(text: str) -> str:
    """The same text without the secrets that are configured."""
    return _secrets.sub(HIDDEN, text) if _secrets else text


def _hide(secrets: Iterable[str]) -> None:
    global _secrets
    forms = set()
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            forms |= {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    longest_first = sorted(forms, key=len, reverse=True)
    _secrets = re.compile("|".join(map(re.escape, longest_first))) if forms else None


_secrets: re.Pattern[str] | None = None


def _escaped(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: json.dumps(found.group())[1:-1], text)


def _trace(_logger: Any, _name: str, event: Any) -> Any:
    """An exception as one string. No local variables: they hold what users wrote, and keys."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    elif isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if info and info[0] is not None:
        event["exception"] = "".join(traceback.format_exception(*info)).rstrip()
    return event


def _chain(utc: bool) -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=utc),
        structlog.stdlib.ExtraAdder(),
    ]


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, utc: bool, *processors: Any) -> None:
        drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        super().__init__(foreign_pre_chain=_chain(utc), processors=[drop, _trace, *processors], use_get_message=True)

    def format(self, record: logging.LogRecord) -> str:
        line = self.access(record) if record.name == ACCESS else super().format(record)
        return redacted(line)

    def access(self, record: logging.LogRecord) -> str:
        """The line of a finished request: the most frequent one, so it takes no detours."""
        raise NotImplementedError


class _Json(_Formatter):
    def __init__(self) -> None:
        super().__init__(True, structlog.processors.JSONRenderer(serializer=_dumps))

    def access(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        known = structlog.contextvars.get_contextvars()
        head = {"event": "request", "level": record.levelname.lower(), "logger": ACCESS, "timestamp": stamp}
        return _dumps(head | known | record.__dict__.get("fields", {}))


def _dumps(event: Any, **_options: Any) -> str:
    try:
        line = orjson.dumps(event, default=str).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, a number beyond 64 bits
        line = json.dumps(event, default=str)
    return _escaped(line)


class _Console(_Formatter):
    def __init__(self) -> None:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
        super().__init__(False, _for_people(renderer))

    def access(self, record: logging.LogRecord) -> str:
        fields = record.__dict__.get("fields", {})
        stamp = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        known = structlog.contextvars.get_contextvars()
        about = " ".join(f"{name}={known[name]}" for name in ("request_id", "turn_id") if name in known)
        text = f"{fields.get('method')} {fields.get('path')} {fields.get('status')} {fields.get('ms')} ms"
        return _escaped(f"{stamp} {text} {about}")


def _for_people(renderer: Callable[[Any, str, Any], str]) -> Callable[[Any, str, Any], str]:
    """Line breaks inside a value would look like lines of their own; a traceback is indented."""

    def render(logger: Any, name: str, event: Any) -> str:
        trace = event.pop("exception", "")
        for key, value in event.items():
            if isinstance(value, str):
                event[key] = _escaped(value)
        line = renderer(logger, name, event)
        return "\n".join([line, *(f"    {_escaped(part)}" for part in trace.split("\n"))]) if trace else line

    return render
