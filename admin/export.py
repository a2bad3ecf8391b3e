"""Exports of the log: written in slices into a file that only who asked for it can fetch, and that is soon gone.

for progress in exports.write("小李", "csv", Filter(text="退款"), settings.timezone): …  # the last names the file
"""

import csv
import io
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from admin.known import RATINGS
from admin.wording import CHANNELS, CODES, STATUSES
from core import roles
from core.database import Database
from core.store import turnlog
from core.store.turnlog import Filter

KEPT_SECONDS = 3600.0  # for which a finished export can be fetched
LEFT_OVER_SECONDS = 24 * 3600.0  # a folder this old belongs to a process that was killed
MEDIA = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # what a spreadsheet, also a Chinese one, takes for one when a cell begins so

Cell = str | int | None
_COLUMNS: dict[str, Callable[[Any, ZoneInfo], Cell]] = {
    "时间": lambda row, zone: _time(row.created_at, zone),
    "渠道": lambda row, zone: CHANNELS.get(row.channel, row.channel),
    # With a mark in front, a spreadsheet leaves long numbers as they are.
    "用户": lambda row, zone: "" if row.user_id is None else f"#{row.user_id}",
    "对话": lambda row, zone: "" if row.conversation_id is None else f"#{row.conversation_id}",
    "编号": lambda row, zone: f"#{row.id}",
    "问题": lambda row, zone: row.question,
    "回答": lambda row, zone: row.answer,
    "状态": lambda row, zone: STATUSES.get(row.status, row.status),
    "错误": lambda row, zone: CODES.get(row.code, row.code),
    "用户评价": lambda row, zone: RATINGS.get(row.rating, ""),
    "评价理由": lambda row, zone: row.rating_reason,
    "首字毫秒": lambda row, zone: row.first_token_ms,
    "总毫秒": lambda row, zone: row.duration_ms,
    "输入 token": lambda row, zone: row.prompt_tokens,
    "输出 token": lambda row, zone: row.completion_tokens,
    "提示词版本": lambda row, zone: row.prompt_version,
    "模型": lambda row, zone: row.model,
    "命中的词": lambda row, zone: "、".join(dict.fromkeys(hit["word"] for hit in orjson.loads(row.hits or "[]"))),
    "备注": lambda row, zone: row.note,
    "评分": lambda row, zone: row.score,
    "更好的回答": lambda row, zone: row.better_answer,
    "批注人": lambda row, zone: row.reviewed_by,
}
_FIELDS = (
    *("id", "created_at", "channel", "user_id", "conversation_id", "seq", "question", "answer", "reasoning"),
    *("status", "code", "finish_reason", "superseded", "rating", "rating_reason", "first_token_ms", "duration_ms"),
    *("prompt_tokens", "completion_tokens", "prompt_version", "model", "hits", "note", "score", "better_answer"),
    *("reviewed_by", "reviewed_at"),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is; `name` is given when it can be fetched."""

    share: float
    rows: int
    name: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    owner: str
    shown: str  # the name it has on the disk of who fetches it
    until: float


class Exports:
    """The files; `close` removes them all."""

    def __init__(self, data_dir: Path, database: Database) -> None:
        self._database = database
        data_dir.mkdir(parents=True, exist_ok=True)
        for left in data_dir.glob("export-*"):
            if left.is_dir() and time.time() - left.stat().st_mtime > LEFT_OVER_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        self._folder = Path(tempfile.mkdtemp(prefix="export-", dir=data_dir))
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self.route = Route("/export/{name}", self._fetch, methods=["GET"])

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what nobody may fetch any more."""
        with self._lock:
            over = [name for name, one in self._kept.items() if one.until < time.monotonic()]
            gone = [self._kept.pop(name) for name in over]
        for one in gone:
            one.path.unlink(missing_ok=True)

    def write(self, owner: str, kind: str, wanted: Filter, timezone: str) -> Iterator[Progress]:
        """Write everything that fulfils the filter, slice by slice; the last progress names the file."""
        zone = ZoneInfo(timezone)
        name = f"{secrets.token_urlsafe(24)}.{kind}"
        path, rows, done = self._folder / name, 0, False
        encoded = _csv if kind == "csv" else _jsonl
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                if kind == "csv":
                    file.write("\ufeff".encode() + _line(list(_COLUMNS)))
                for share, some in turnlog.export(self._database, wanted):
                    file.writelines(encoded(row, zone) for row in some)
                    rows += len(some)
                    yield Progress(share, rows)
            shown = f"log-{datetime.now(zone):%Y%m%d-%H%M%S}.{kind}"
            with self._lock:
                self._kept[name] = _Kept(path, owner, shown, time.monotonic() + KEPT_SECONDS)
            done = True
            yield Progress(1.0, rows, name, path.stat().st_size)
        finally:
            if not done:  # the page was left, or the disk is full
                path.unlink(missing_ok=True)

    def _fetch(self, request: Request) -> Response:
        """The file, for who had it written, as long as they may."""
        account = request.scope["staff"]
        kept = self._kept.get(request.path_params["name"])
        may = roles.may(account.role, "editor")
        if kept is None or kept.owner != account.name or not may or kept.until < time.monotonic():
            return JSONResponse({"detail": "没有这个文件，可能已经过期，请重新导出。"}, 404)
        return FileResponse(kept.path, media_type=MEDIA[kept.path.suffix[1:]], filename=kept.shown)


def _csv(row: Any, zone: ZoneInfo) -> bytes:
    return _line([_safe(column(row, zone)) for column in _COLUMNS.values()])


def _safe(value: Cell) -> Cell:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _line(cells: list[Any]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue().encode()


def _jsonl(row: Any, zone: ZoneInfo) -> bytes:
    values = {name: getattr(row, name) for name in _FIELDS}
    values |= {"id": str(row.id), "hits": orjson.loads(row.hits or "[]")}
    for name in ("user_id", "conversation_id"):  # too long for the numbers of JavaScript
        values[name] = None if values[name] is None else str(values[name])
    for name in ("created_at", "reviewed_at"):
        at = values[name]
        values[name] = None if at is None else datetime.fromtimestamp(at / 1000, zone).isoformat()
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)


def _time(ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(ms / 1000, zone).strftime("%Y-%m-%d %H:%M:%S")
