"""How long the console waits with a million turns: `python bench/console_figures.py [URL] [--turns N]`.

Fills a database with made-up turns of 200 days, unless there are turns in it; lets the indexer come to its end, from
where it is; then times searches of the log, filters, and dashboards: p50 and the longest of several calls, in
milliseconds. URL names a database of its own (default: a file of SQLite that is deleted afterwards). Ends with 1
where the log takes longer than 300 ms or a dashboard longer than 1 s.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy import Table, func, select

from admin.dashboard import RANGES
from bench.history_cost import bulk
from core import indexing, migrate
from core.database import Database
from core.indexing import Indexer
from core.settings import Settings
from core.store import figures, people, reviews, stats, turnindex, turnlog
from core.store.turnlog import Filter
from core.store.users import Quota
from core.tables import (
    ComplaintRow,
    ConversationRow,
    DeliveryRow,
    IdentityRow,
    TurnMarkRow,
    TurnRow,
    UserRow,
    id_at,
    now_ms,
)

DAYS, DAY = 200, 86_400_000
PEOPLE = 8_000
PER_TALK = 8
SEASON = (110, 117)  # days ago: when everybody asked about one thing, and nobody since
ZONE = "Asia/Shanghai"
LOG_MS, BOARD_MS = 300, 1000
ROUNDS = 7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument(
        "--seconds", type=float, default=3600, help="that the indexer may take; then nothing is timed"
    )
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        database = Database(asked.url or f"sqlite:///{folder}/chat.db")
        stack.callback(database.dispose)
        migrate.upgrade(database)
        if not database.read(lambda c: c.execute(select(TurnRow.id).limit(1)).first()):
            began = time.monotonic()
            fill(database, asked.turns)
            print(
                f"{asked.turns:,} turns in {database.dialect}, filled in {time.monotonic() - began:.0f} s", flush=True
            )
        if not index(database, asked.seconds):
            return 0
        return measure(database)


# ---- Filling


def fill(database: Database, count: int) -> None:
    """So many turns, and everything that belongs to them."""
    random.seed(1)
    now = now_ms() - 600_000
    texts = Texts()
    bulk(database, of(UserRow), (a_user(number, now) for number in range(1, PEOPLE + 1)))
    bulk(database, of(IdentityRow), (an_identity(number) for number in range(1, PEOPLE + 1)))
    for table in (TurnRow, ConversationRow, DeliveryRow, ComplaintRow, TurnMarkRow):
        random.seed(2)  # the same turns each time
        bulk(database, of(table), rows_of(table, turns(count, now, texts)))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if database.dialect == "mysql":
            connection.exec_driver_sql("ANALYZE TABLE turns, deliveries, identities, complaints, turn_marks")
        if database.dialect == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")


def of(row: type[Any]) -> Table:
    return cast(Table, row.__table__)


class Texts:
    """Questions and answers put together from those of the demo model, with some words that are rare."""

    def __init__(self) -> None:
        folder = Path(__file__).parents[1] / "demo"
        self.questions = (folder / "unknown_zh.txt").read_text(encoding="utf-8").split("\n")[:-1]
        self.sentences = []
        for line in (folder / "qa_zh.txt").read_text(encoding="utf-8").splitlines():
            asked, _, answer = line.partition("=>")
            self.questions += [one.strip() for one in asked.split("|")]
            self.sentences.append(answer.strip())
        self.sentences = [one for one in self.sentences if one]

    def one(self, number: int, days_ago: float) -> tuple[str, str]:
        question = random.choice(self.questions)
        if SEASON[0] < days_ago < SEASON[1] and number % 3:
            question = f"中秋月饼怎么买，{question}"
        if number % 60_000 == 7:
            question += "，这个字念龘吗"
        if number % 4_000 == 11:
            question += "，麒麟是什么"
        answer = "".join(random.choices(self.sentences, k=random.choice((1, 2, 2, 3, 4))))
        if number % 10 == 3:
            answer += f"您的订单号是 {random.randrange(10**9):09}，请留意快递。"
        return question, answer


def turns(count: int, now: int, texts: Texts) -> Iterator[dict[str, Any]]:
    """Everything about each turn, oldest first."""
    step = DAYS * DAY / count
    for number in range(count):
        when = int(now - DAYS * DAY + number * step)
        days_ago = DAYS * (1 - number / count)
        user = 1 + int(PEOPLE * random.random() ** 2)
        official = user % 3 == 0
        luck = random.random()
        status = "failed" if luck < 0.01 else "blocked" if luck < 0.013 else "stopped" if luck < 0.0135 else "done"
        first = int(random.lognormvariate(6.2, 0.6))
        question, answer = texts.one(number, days_ago)
        yield {
            "number": number,
            "id": id_at(when) + number % 4096,
            "when": when,
            "user": user,
            "talk": id_at(int(now - DAYS * DAY)) + user * 10_000 + int((DAYS - days_ago) * 7),
            "official": official,
            "channel": "console" if number % 997 == 0 else "official" if official else "miniprogram",
            "status": status,
            "question": question,
            "answer": "" if status in ("failed", "blocked") else answer,
            "version": 1 + int((DAYS - days_ago) / 20) if number % 30_000 else 99,
            "first": first,
            "duration": first + int(random.lognormvariate(8, 0.5)) + (100_000 if number % 20_000 == 5 else 0),
            "masked": number % 400 == 0,
            "rating": None if random.random() > 0.08 else "down" if random.random() < 0.3 else "up",
            "noted": number % 3_000 == 1,
            "reported": number % 2_500 == 2,
        }


HIT = '[{"word":"暴力","action":"mask","start":0,"end":2,"in":"question"}]'


def rows_of(table: type[Any], made: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of one table that belong to the turns."""
    talks: set[int] = set()
    for turn in made:
        if table is TurnRow:
            yield a_turn(turn)
        elif table is ConversationRow and turn["talk"] not in talks:
            talks.add(turn["talk"])
            yield a_conversation(turn)
        elif table is DeliveryRow and turn["official"]:
            yield a_delivery(turn)
        elif table is ComplaintRow and turn["reported"]:
            yield a_complaint(turn)
        elif table is TurnMarkRow:
            marks = (turn["rating"], *(name for name in ("noted", "reported") if turn[name]))
            yield from ({"mark": mark, "turn_id": turn["id"]} for mark in marks if mark)


def a_user(number: int, now: int) -> dict[str, Any]:
    counters = {"day": 0, "day_count": 0, "minute": 0, "minute_count": 0}
    return {"id": number, "created_at": now - DAYS * DAY, **counters}


def an_identity(number: int) -> dict[str, Any]:
    return {"appid": "wx1", "openid": f"o{number * 7919 % 1_000_003:07}_{number}", "user_id": number}


def a_turn(turn: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": turn["id"],
        "user_id": turn["user"],
        "conversation_id": turn["talk"],
        "seq": turn["number"],
        "channel": turn["channel"],
        "request_key": str(turn["number"]),
        "question": turn["question"],
        "options": '{"max_tokens":500,"thinking":false}',
        "status": turn["status"],
        "writer": 1,
        "attempt": 1,
        "version": 2,
        "stop_requested": False,
        "answer": turn["answer"],
        "reasoning": "",
        "code": {"failed": "model_timeout", "blocked": "content_blocked"}.get(turn["status"]),
        "finish_reason": "stop",
        "prompt_version": turn["version"],
        "model": "cogito-v1-preview-llama-3b",
        "prompt_tokens": 300,
        "completion_tokens": len(turn["answer"]),
        "first_token_ms": turn["first"],
        "duration_ms": turn["duration"],
        "hits": HIT if turn["masked"] else None,
        "superseded": False,
        "rating": turn["rating"],
        "note": "需要补充" if turn["noted"] else None,
        "reviewed_by": "小王" if turn["noted"] else None,
        "reviewed_at": turn["when"] if turn["noted"] else None,
        "created_at": turn["when"],
        "finished_at": turn["when"] + turn["duration"],
    }


def a_conversation(turn: dict[str, Any]) -> dict[str, Any]:
    known = {"id": turn["talk"], "user_id": turn["user"], "channel": turn["channel"], "last_seq": 1}
    times = {"created_at": turn["when"], "updated_at": turn["when"]}
    return known | times | {"title": turn["question"][:30]}


def a_delivery(turn: dict[str, Any]) -> dict[str, Any]:
    number = turn["number"]
    rest = number % 15 == 0
    return {
        "id": turn["id"],
        "appid": "wx1",
        "key": str(number),
        "openid": f"o{turn['user']}",
        "turn_id": turn["id"],
        "arrivals": 1 + number % 7 // 5,
        "reply": turn["answer"][:50],
        "state": "rest" if rest else "shown",
        "shown": 50,
        "shown_at": turn["when"] + 2000 + (60_000 if number % 9 == 0 else 0),
        "pushed": 0,
        "tries": 0,
        "due": 0,
        "created_at": turn["when"],
    }


def a_complaint(turn: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": turn["id"],
        "receipt": str(turn["number"]),
        "kind": "report",
        "state": "done",
        "channel": turn["channel"],
        "user_id": turn["user"],
        "turn_id": turn["id"],
        "reason": "不实",
        "question": turn["question"],
        "answer": turn["answer"],
        "note": "",
        "created_at": turn["when"],
    }


# ---- Indexing


def index(database: Database, seconds: float) -> bool:
    """Let the indexer come to its end; how long its last transactions were. False if the time was not enough."""
    indexing.LEASE_MS = 0
    if not _hurry(database, seconds):
        return False
    lasted: list[float] = []
    write = database.write

    def timed(work: Callable[..., Any], *args: Any, **more: Any) -> Any:
        began = time.perf_counter()
        result = write(work, *args, **more)
        lasted.append((time.perf_counter() - began) * 1000)
        return result

    database.write = timed  # type: ignore[method-assign]
    indexer, began = Indexer(database, Settings(_env_file=None, timezone=ZONE)), time.monotonic()  # type: ignore[call-arg]
    done = False
    while not done and time.monotonic() - began < seconds:
        done = indexer.look(2)
    database.write = write  # type: ignore[method-assign]
    cuts = quantiles(lasted, n=1000) if len(lasted) > 1 else [0.0] * 999
    print(
        f"the indexer's last {time.monotonic() - began:.0f} s: {len(lasted):,} transactions of p50 {cuts[499]:.0f},"
        f" p95 {cuts[949]:.0f}, p99 {cuts[989]:.0f}, at most {max(lasted, default=0):.0f} ms; {size(database)}",
        flush=True,
    )
    return done


def _hurry(database: Database, seconds: float) -> bool:
    """Index most of it in large transactions, as no server should."""
    began, told, indexed = time.monotonic(), 0.0, True
    figures.AT_ONCE = 240
    while indexed:
        if time.monotonic() - began > seconds:
            return False
        piece = database.read(turnindex.next_slice, 5000)
        if indexed := len(piece.turns) == 5000 and piece.turns[-1].id < id_at(now_ms() - 4 * DAY):
            database.write(turnindex.enter, piece, ZONE)
        slots = database.read(figures.next_slots)
        if slots is not None and slots[1] < figures.slot_of(now_ms() - 4 * DAY):
            measured = database.read(figures.measure, *slots)
            database.write(figures.store, measured, *slots, ZONE)
            indexed = True
        if time.monotonic() - told > 20:
            told = time.monotonic()
            print(f"  indexed {database.read(indexing.progress).share:.1%} after {told - began:.0f} s", flush=True)
    figures.AT_ONCE = 8
    return True


def size(database: Database) -> str:
    if database.dialect != "sqlite":
        return ""
    query = "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)"
    whole = database.read(lambda c: c.exec_driver_sql(query).scalar_one())
    query = "SELECT sum(length(block)) FROM turn_grams_data"
    texts = database.read(lambda c: c.exec_driver_sql(query).scalar_one())
    return f"{whole / 1e6:,.0f} MB, {texts / 1e6:,.0f} of them the index of texts"


# ---- Measuring


def measure(database: Database) -> int:
    now = now_ms()
    some = database.read(lambda c: c.execute(select(TurnRow.id).where(TurnRow.id > id_at(now - 100 * DAY))).scalar())
    works: list[tuple[str, int, Callable[[], Any]]] = [
        (name, LOG_MS, partial(database.read, turnlog.page, wanted, 50, before))
        for name, wanted, before in filters(now)
    ]
    works.append(("one turn with its conversation", LOG_MS, partial(database.read, reviews.transcript, some)))
    find = partial(database.read, people.search, "o00", Quota(0, 0, ZONE))
    works.append(("people whose openid begins with o00", LOG_MS, find))
    for days, step in RANGES.values():
        work = partial(database.read, stats.dashboard, now - days * DAY, now, step, ZONE)
        works.append((f"dashboard: {days} days by the {step}", BOARD_MS, work))
    count = database.read(lambda c: c.execute(select(func.count()).select_from(TurnRow)).scalar_one())
    print(f"\n{database.dialect}, {count:,} turns, ms{'':<28}{'p50':>8}{'max':>8}{'found':>8}")
    late = 0
    for name, allowed, work in works:
        seconds, result = [], None
        for _ in range(ROUNDS):
            began = time.perf_counter()
            result = work()
            seconds.append((time.perf_counter() - began) * 1000)
        found = len(result) if isinstance(result, list) else ""
        slow = max(seconds) > allowed
        late += slow
        print(
            f"{name:<46}{median(seconds):>8.0f}{max(seconds):>8.0f}{found:>8}{'  too slow' if slow else ''}",
            flush=True,
        )
    return 1 if late else 0


def filters(now: int) -> list[tuple[str, Filter, int | None]]:
    """What staff may look for, each with where its page begins."""
    old = id_at(now - 150 * DAY)
    week = {"since": now - 150 * DAY, "until": now - 143 * DAY}
    return [
        ("everything", Filter(), None),
        ("everything, 150 days ago", Filter(), old),
        ("的 (common)", Filter(text="的"), None),
        ("龘 (17 turns)", Filter(text="龘"), None),
        ("你 好 (two characters)", Filter(text="你 好"), None),
        ("麒麟 (250 turns)", Filter(text="麒麟"), None),
        ("月饼 (one week, 110 days ago)", Filter(text="月饼"), None),
        ("月饼 的", Filter(text="月饼 的"), None),
        ("订单号", Filter(text="订单号"), None),
        ("a phrase of 13 characters", Filter(text="中秋月饼怎么买，帮我写一份"), None),
        ("no such phrase", Filter(text="中秋麒麟"), None),
        ("no such phrase of common words", Filter(text="好模型你"), None),
        ("digits in the midst of a number", Filter(text="4821"), None),
        ("hello", Filter(text="HELLO"), None),
        ("的, 150 days ago", Filter(text="的"), old),
        ("user with 11,000 turns", Filter(user="1"), None),
        ("user with few", Filter(user="7990"), None),
        ("user by openid", Filter(user=an_identity(4000)["openid"]), None),
        ("user + word", Filter(user="1", text="麒麟"), None),
        ("user + season's word", Filter(user="4000", text="月饼"), None),
        ("channel console (0.1 %)", Filter(channel="console"), None),
        ("channel official", Filter(channel="official"), None),
        ("version of 190 days ago", Filter(prompt_version=1), None),
        ("version that answered 33 times", Filter(prompt_version=99), None),
        ("version + channel, never together", Filter(prompt_version=99, channel="console"), None),
        ("old version + rare channel", Filter(prompt_version=2, channel="console"), None),
        ("stopped (0.05 %)", Filter(status="stopped"), None),
        ("done", Filter(status="done"), None),
        ("failed", Filter(flags={"failed"}), None),
        ("blocked", Filter(flags={"blocked"}), None),
        ("masked", Filter(flags={"masked"}), None),
        ("disliked", Filter(flags={"disliked"}), None),
        ("reported", Filter(flags={"reported"}), None),
        ("partial", Filter(flags={"partial"}), None),
        ("uncollected", Filter(flags={"uncollected"}), None),
        ("noted", Filter(flags={"noted"}), None),
        ("slower than 6 s", Filter(slow_ms=6000), None),
        ("slower than 90 s (50 turns)", Filter(slow_ms=90_000), None),
        ("first token after 5 s", Filter(first_token_ms=5000), None),
        ("disliked + masked", Filter(flags={"disliked", "masked"}), None),
        ("disliked + season's word", Filter(flags={"disliked"}, text="月饼"), None),
        ("disliked + noted + reported (none)", Filter(flags={"disliked", "noted", "reported"}), None),
        ("partial + failed", Filter(flags={"partial", "failed"}), None),
        ("uncollected + 麒麟", Filter(flags={"uncollected"}, text="麒麟"), None),
        ("stopped + official + 的", Filter(status="stopped", channel="official", text="的"), None),
        ("a week, 150 days ago", Filter(**week), None),
        ("a week, 150 days ago + 订单号 + failed", Filter(**week, text="订单号", flags={"failed"}), None),
        ("a week, 150 days ago + blocked", Filter(**week, flags={"blocked"}), None),
        ("everything at once", Filter(text="的", channel="official", user="3", slow_ms=5000, status="done"), None),
    ]


if __name__ == "__main__":
    sys.exit(main())
