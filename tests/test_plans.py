"""No statement of the store reads a whole table, or sorts what it could read in order: SQLite's own word for it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event

from core.database import Database
from core.errors import ChatError
from core.indexing import progress
from core.store import (
    complaints,
    conversations,
    daily,
    figures,
    people,
    reviews,
    search,
    turnindex,
    turnlog,
    turns,
    users,
    writing,
)
from core.store.turnlog import FLAGS, Filter
from core.store.writing import Outcome, Progress
from tests.stores import UNLIMITED, ask, make_user, row

ME = 1
Work = Callable[[Connection], Any]


@pytest.fixture
def plans(database: Database) -> Callable[[Work], list[str]]:
    """The lines of the query plans of every statement of some work."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, values))

    def explain(connection: Connection) -> list[str]:
        return [
            str(line[3])
            for statement, values in seen
            if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))
            for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]

    def of(work: Work) -> list[str]:
        seen.clear()
        event.listen(database.engine, "before_cursor_execute", note)
        try:
            database.write(work)
        except ChatError as refused:
            pytest.fail(f"refused: {refused}")
        finally:
            event.remove(database.engine, "before_cursor_execute", note)
        return database.read(explain)

    return of


def whole_tables(plan: list[str]) -> list[str]:
    given = ("SCAN CONSTANT ROW", "SCAN new", "SCAN c ")  # a VALUES list; cells that the index of texts has found
    return [
        line for line in plan if line.startswith("SCAN") and "INDEX" not in line and not f"{line} ".startswith(given)
    ]


def sorts(plan: list[str]) -> list[str]:
    return [line for line in plan if "TEMP B-TREE" in line]


def test_no_statement_of_a_question_reads_a_whole_table(
    database: Database, plans: Callable[[Work], list[str]]
) -> None:
    user = make_user(database)
    first = ask(database, user, new_conversation=True, request_key="k", request_hash="h")
    mine = ask(database, user, writer=ME)
    token, _ = database.write(users.open_session, user, 1)
    talk = first.conversation_id
    again = turns.Question(
        1, user, "miniprogram", "你好", turns.Options(5), talk, request_key="new", request_hash="h"
    )
    known = {first.id: (9, 9, "queued")}
    works: dict[str, Work] = {
        "accept": partial(turns.accept, asked=again, quota=UNLIMITED, writer=ME),
        "caller": partial(users.caller, token=token),
        "sign_in": partial(users.sign_in, appid="wxapp", openid="new", unionid="union"),
        "get_of_user": partial(turns.get_of_user, turn_id=first.id, user_id=user),
        "history": partial(turns.history, conversation_id=talk, seq=9, limit=5),
        "page": partial(conversations.page, user_id=user, limit=9, before=None),
        "second page": partial(conversations.page, user_id=user, limit=9, before=(10**15, 5)),
        "latest": partial(conversations.latest, user_id=user, channel="miniprogram", since_ms=0),
        "turns": partial(conversations.turns, user_id=user, conversation_id=talk, limit=9, before=9),
        "open_turns": partial(conversations.open_turns, user_id=user),
        "rename": partial(conversations.rename, user_id=user, conversation_id=talk, title="新"),
        "claimable": partial(writing.claimable, limit=9),
        "count_queued": writing.count_queued,
        "claim": partial(writing.claim, turn_id=first.id, attempt=0, writer=ME),
        "save": partial(writing.save, writer=ME, batch=[Progress(mine.id, 1, "一", "")]),
        "moved": partial(writing.moved, known=known),
        "stops_requested": partial(writing.stops_requested, writer=ME),
        "request_stop": partial(writing.request_stop, turn_id=mine.id),
        "finish": partial(
            writing.finish, turn_id=mine.id, writer=ME, attempt=1, outcome=Outcome("failed", "", "", code="busy")
        ),
        "release": partial(writing.release, writer=ME),
        "requeue_orphans": writing.requeue_orphans,
        "merge": partial(users.merge, user_id=user, into=make_user(database)),
    }
    told = {name: plans(work) for name, work in works.items()}
    assert all(told.values()), "each work has a plan"
    assert {name: found for name, plan in told.items() if (found := whole_tables(plan))} == {}
    in_order = ("history", "page", "second page", "latest", "turns")
    assert {name: found for name in in_order if (found := sorts(told[name]))} == {}
    assert row(database, mine).code == "busy"  # the works did what they say


def test_no_statement_of_the_console_reads_a_whole_table(
    database: Database, plans: Callable[[Work], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "NEWEST", 1)
    monkeypatch.setattr(turnindex, "LATE_MS", -60_000)
    user = make_user(database, "openid-wang")
    for _ in range(3):
        turn = ask(database, user, "退款", writer=ME, new_conversation=True)
        database.write(writing.finish, turn.id, ME, 1, Outcome("done", "好的", ""))
    piece = database.read(turnindex.next_slice, 9)
    database.write(turnindex.enter, piece, "Asia/Shanghai")
    filters = [
        Filter(text="退款", user="openid-w", channel="miniprogram", prompt_version=1, status="done", slow_ms=9000),
        Filter(status="answering"),
        *(Filter(flags={flag}) for flag in FLAGS),
    ]
    works: dict[str, Work] = {str(wanted): partial(turnlog.page, wanted=wanted, limit=9) for wanted in filters}
    works |= {
        "transcript": partial(reviews.transcript, turn_id=turn.id),
        "annotate": partial(reviews.annotate, turn_id=turn.id, staff="王", note="x", score=1, better_answer="y"),
        "people": partial(people.search, name="openid", quota=UNLIMITED),
        "next_slice": partial(turnindex.next_slice, limit=9),
        "next_slots": figures.next_slots,
        "kept": lambda connection: list(figures.kept(connection, 1, 2)),
        "measure": partial(figures.measure, first=1, last=2),
        "outdate": partial(figures.outdate, turn_id=turn.id),
        "count": partial(daily.count, first=1, last=2),
        "forget_user": partial(daily.forget_user, user_id=user),
        "queue": partial(complaints.page, limit=9, state="open"),
        "open_by_kind": complaints.open_by_kind,
        "progress": progress,
        "leave": partial(turnindex.leave, turn_ids=[turn.id]),
    }
    told = {name: plans(work) for name, work in works.items()}
    assert all(told.values()), "each work has a plan"
    assert {name: found for name, plan in told.items() if (found := whole_tables(plan))} == {}


def test_the_latest_answers_are_read_from_the_end_of_the_table(
    database: Database, plans: Callable[[Work], list[str]]
) -> None:
    plan = plans(turns.recent_speed)
    assert not any("ix_turns_status" in line for line in plan), plan
    assert sorts(plan) in ([], ["USE TEMP B-TREE FOR ORDER BY"])  # of the few that were cut off
