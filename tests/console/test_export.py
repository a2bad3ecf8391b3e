"""Exports of the log: whole, safe to open in a spreadsheet, for who asked for them only, and soon gone."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from admin import export
from admin.export import Exports
from core import migrate
from core.database import Database
from core.store import reviews, staff
from core.store.turnlog import Filter
from tests.console import made
from tests.console.conftest import Office, cookies, handlers, queue_join
from tests.console.test_logs import listed, logs, look_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

Enter = Callable[..., Any]
ZONE = "Asia/Shanghai"
FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＠SUM(A1)"]


def exported(page: "Page", button: str) -> tuple[str, bytes]:
    """The name and the contents of the file a button gives."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_what_is_filtered_becomes_a_table_that_runs_nothing(office: Office, enter: Enter) -> None:
    database, someone = office.database, made.user(office.database)
    for number, formula in enumerate(FORMULAS):
        turn = made.turn(database, someone, f"{formula}导出表", formula, ago=(number + 1) * 1000, model=formula)
        database.write(reviews.annotate, turn, "小李", note=formula, score=None, better_answer='"引号",\n换行')
    page = logs(enter("小李", again=True))
    look_for(page, "导出表")
    page.locator("#log .pick", has_text="@SUM").wait_for()
    name, data = exported(page, "导出 CSV")
    assert name.startswith("log-") and name.endswith(".csv")
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert [row["问题"] for row in rows] == [f"'{formula}导出表" for formula in FORMULAS]
    assert all(
        row[column] == f"'{one}" for row, one in zip(rows, FORMULAS, strict=True) for column in ("回答", "模型")
    )
    assert rows[0]["更好的回答"] == '"引号",\n换行' and rows[0]["用户"] == f"#{someone}"
    cells = [cell for row in rows for cell in row.values()]
    assert not any(cell.startswith(export.FORMULA) for cell in cells)
    page.get_by_text(f"{len(FORMULAS)} 条").wait_for()
    entry = office.database.read(staff.operations, 1)[0]
    assert (entry.staff, entry.action, entry.target) == ("小李", "导出日志", "CSV")
    assert entry.detail == "文字 导出表，不含 控制台"


def test_an_export_has_everything_however_many_slices_it_takes(office: Office, enter: Enter) -> None:
    someone = made.user(office.database)
    rows = [made.made(someone, f"很多行 {number}", ago=1_000_000 - number * 1000) for number in range(620)]
    made.turns(office.database, rows)
    page = logs(enter("小李", again=True))
    look_for(page, "很多行")
    listed(page, [f"很多行 {number}" for number in range(619, 569, -1)])
    name, data = exported(page, "导出 JSONL")
    turns = [json.loads(line) for line in data.decode().splitlines()]
    assert name.endswith(".jsonl")
    assert [turn["question"] for turn in turns] == [f"很多行 {number}" for number in range(619, -1, -1)]
    assert turns[0]["user_id"] == str(someone) and turns[0]["created_at"].endswith("+08:00")


def test_only_who_asked_for_an_export_can_fetch_it(office: Office, enter: Enter) -> None:
    made.turn(office.database, made.user(office.database), "只给我看的导出")
    page = logs(enter("小李", again=True))
    look_for(page, "只给我看的导出")
    listed(page, ["只给我看的导出"])
    exported(page, "导出 CSV")
    link = page.locator(".export a").get_attribute("href")
    assert link is not None
    answer = requests.get(office.url + link, cookies=cookies(office, "小李"), timeout=10)
    assert answer.status_code == 200 and answer.headers["Content-Disposition"].startswith("attachment")
    assert (answer.headers["X-Content-Type-Options"], answer.headers["Cache-Control"]) == ("nosniff", "no-store")
    for other in ("王店长", "小陈"):
        assert requests.get(office.url + link, cookies=cookies(office, other), timeout=10).status_code == 404
    assert requests.get(office.url + link, timeout=10).status_code == 401


def test_a_viewer_exports_nothing(office: Office) -> None:
    made.turn(office.database, made.user(office.database), "看得到导不出")
    known = handlers(office)
    for who, may in (("小陈", False), ("小李", True)):
        listing = queue_join(office, who, *known["viewer__Logs_again"])["output"]["data"]
        assert "看得到导不出" in listing[1]
        assert [button["visible"] for button in listing[-2:]] == [may, may]  # both exports
    told = queue_join(office, "小陈", *known["editor__Logs_export_csv"])
    assert told["output"]["error"] == "你的账号没有这个权限。"


# ---- The files


@pytest.fixture
def exports(tmp_path: Path) -> Iterator[Exports]:
    database = Database(f"sqlite:///{tmp_path}/chat.db")
    migrate.upgrade(database)
    made.turns(database, [made.made(made.user(database), str(number)) for number in range(700)])
    yield Exports(tmp_path / "data", database)
    database.dispose()


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_files_are_removed_when_their_time_is_over(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, last = exports.write("小李", "csv", Filter(), ZONE)
    (written,) = files(tmp_path)
    assert written.name == last.name and written.stat().st_mode & 0o777 == 0o600
    assert written.parent.stat().st_mode & 0o777 == 0o700
    exports.sweep()
    assert files(tmp_path) == [written]
    monkeypatch.setattr(export, "KEPT_SECONDS", -1)
    list(exports.write("小李", "jsonl", Filter(), ZONE))
    exports.sweep()
    assert files(tmp_path) == [written]
    exports.close()
    assert files(tmp_path) == []


def test_an_export_nobody_waits_for_any_more_leaves_nothing(exports: Exports, tmp_path: Path) -> None:
    running = exports.write("小李", "csv", Filter(), ZONE)
    progress = next(running)
    assert 0 < progress.rows < 700 and files(tmp_path)
    running.close()
    assert files(tmp_path) == []


def test_what_a_killed_process_left_is_removed_later(exports: Exports, tmp_path: Path) -> None:
    left = tmp_path / "data" / "export-old"
    left.mkdir()
    (left / "x.csv").write_text("x")
    Exports(tmp_path / "data", exports._database)
    assert left.exists()  # it may belong to another console
    os.utime(left, (0, 0))
    Exports(tmp_path / "data", exports._database)
    assert not left.exists()
