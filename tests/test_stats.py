"""The dashboard's figures: the same counted now as counted before, in every time zone, on every database."""

import itertools
import random
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, insert, select

from core import indexing
from core.database import Database
from core.indexing import Indexer
from core.settings import Settings
from core.store import daily, erasure, figures, ratings, stats, turnindex, turns, users
from core.store.stats import Dashboard, Step
from core.tables import DailyUserRow, DeliveryRow, FiguresRow, TurnRow, id_at, now_ms
from tests.stores import make_user

HOUR, DAY = 3_600_000, 86_400_000
ZONE = "Asia/Shanghai"
NUMBERS = itertools.count(1)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnindex, "LATE_MS", -60_000)
    monkeypatch.setattr(stats, "MOST_LIVE", 1000)
    monkeypatch.setattr(indexing, "LEASE_MS", 0)
    monkeypatch.setattr(indexing, "PAUSE_SECONDS", 0)


@pytest.fixture
def indexer(any_database: Database) -> Indexer:
    return Indexer(any_database, Settings(_env_file=None, timezone=ZONE))  # type: ignore[call-arg]


def put(database: Database, when: int, **more: Any) -> int:
    """A turn asked at that time."""
    number = next(NUMBERS)
    values = {
        "channel": "miniprogram",
        "options": "{}",
        "status": "done",
        "reasoning": "",
        "question": "问",
        "answer": "答",
    }
    turn_id = id_at(when) + number % (1 << 22)
    database.write(lambda c: c.execute(insert(TurnRow).values(id=turn_id, created_at=when, **values | more)))
    return turn_id


def deliver(database: Database, when: int, **more: Any) -> None:
    number = next(NUMBERS)
    values = {"appid": "wx", "key": str(number), "openid": "o", "turn_id": number, "created_at": when, "reply": "答"}
    values |= {"state": "shown", "shown": 5, "shown_at": when + 2000}
    database.write(lambda c: c.execute(insert(DeliveryRow).values(id=id_at(when) + number, **values | more)))


def at(text: str, zone: str = ZONE) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def board(database: Database, since: int, until: int, step: Step = "day", zone: str = ZONE, **more: Any) -> Dashboard:
    return database.read(stats.dashboard, since, until, step, zone, **more)


def bars(told: Dashboard, zone: str = ZONE) -> dict[str, int]:
    """The turns of each point that has any, by its beginning."""
    named = ((datetime.fromtimestamp(point.start / 1000, ZoneInfo(zone)), point) for point in told.points)
    return {when.strftime("%m-%d %H:%M"): point.figures.turns for when, point in named if point.figures.turns}


def test_a_dashboard_is_the_same_counted_now_and_counted_before(any_database: Database, indexer: Indexer) -> None:
    chance = random.Random(3)
    people = [make_user(any_database) for _ in range(4)]
    now = now_ms()
    for _ in range(60):
        put(
            any_database,
            now - chance.randrange(40 * HOUR),
            user_id=chance.choice(people),
            channel=chance.choice(("miniprogram", "official")),
            status=chance.choice(("done", "failed", "blocked")),
            code=chance.choice((None, "model_error")),
            rating=chance.choice((None, "up", "down")),
            hits=chance.choice((None, '[{"word":"x","action":"mask"}]')),
            prompt_tokens=chance.randrange(500),
            completion_tokens=chance.randrange(500),
            first_token_ms=chance.randrange(5000),
            duration_ms=chance.randrange(20_000),
        )
        deliver(any_database, now - chance.randrange(40 * HOUR), arrivals=chance.randint(1, 3))
    for step in ("hour", "day", "week", "month"):
        before = board(any_database, now - 41 * HOUR, now, step)
        assert before.total.turns == 60 and not before.behind
        while not indexer.look():
            pass
        assert any_database.read(figures.reached) >= figures.slot_of(now) - 2
        assert board(any_database, now - 41 * HOUR, now, step) == before
        break_index(any_database)


def break_index(database: Database) -> None:
    """As if nobody had ever counted."""
    for table in ("figures", "daily_users", "jobs"):
        database.write(lambda c, table=table: c.exec_driver_sql(f"DELETE FROM {table}"))


def test_days_begin_at_midnight_wherever_that_is(any_database: Database, indexer: Indexer) -> None:
    for text in ("2026-03-01 23:59:59.999", "2026-03-02 00:00:00", "2026-03-02 23:30:00", "2026-03-03 00:00:00"):
        put(any_database, at(text))
    while not indexer.look():
        pass
    span = (at("2026-03-01 00:00"), at("2026-03-04 00:00"))
    assert bars(board(any_database, *span)) == {"03-01 00:00": 1, "03-02 00:00": 2, "03-03 00:00": 1}
    assert bars(board(any_database, *span, "hour")) == {
        "03-01 23:00": 1,
        "03-02 00:00": 1,
        "03-02 23:00": 1,
        "03-03 00:00": 1,
    }
    delhi = "Asia/Kolkata"  # half an hour beside the others: 23:59 in Shanghai is 21:29 there
    assert bars(board(any_database, *span, "day", delhi), delhi) == {"03-01 00:00": 2, "03-02 00:00": 2}
    assert bars(board(any_database, *span, "week"), ZONE) == {"02-23 00:00": 1, "03-02 00:00": 3}
    assert bars(board(any_database, *span, "month")) == {"03-01 00:00": 4}


def test_a_day_may_have_23_hours_or_25(any_database: Database) -> None:
    berlin = "Europe/Berlin"
    for first, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
        start = at(first, berlin)
        told = board(any_database, start, start + 30 * HOUR, "day", berlin)
        assert told.points[1].start - told.points[0].start == hours * HOUR
        by_hour = board(any_database, start, told.points[1].start, "hour", berlin)
        assert len(by_hour.points) == hours


def test_percentiles_are_right_to_a_tenth(any_database: Database, indexer: Indexer) -> None:
    chance = random.Random(5)
    when = at("2026-03-02 12:00")
    first = [int(chance.lognormvariate(6, 1)) for _ in range(300)]
    whole = [int(chance.lognormvariate(8.5, 0.7)) for _ in range(300)]
    for number, (one, other) in enumerate(zip(first, whole, strict=True)):
        put(any_database, when + number, first_token_ms=one, duration_ms=other)
    while not indexer.look():
        pass
    total = board(any_database, when, when + HOUR).total
    for share in (0.5, 0.95):
        rank = round(share * 300) - 1
        assert total.first_token(share) == pytest.approx(sorted(first)[rank], rel=0.1)
        assert total.answer(share) == pytest.approx(sorted(whole)[rank], rel=0.1)
    assert board(any_database, when + DAY, when + 2 * DAY).total.answer(0.5) is None


def test_everything_is_counted(any_database: Database) -> None:
    now = now_ms()
    put(any_database, now - 1000, prompt_tokens=100, completion_tokens=7, rating="up")
    put(any_database, now - 1000, prompt_tokens=50, status="failed", code="model_timeout", rating="down")
    put(any_database, now - 1000, status="failed", code="model_error")
    put(any_database, now - 1000, status="failed", code="model_error", channel="official")
    put(any_database, now - 1000, status="blocked", code="content_blocked", hits='[{"word":"x","action":"mask"}]')
    put(any_database, now - 1000, channel="console")
    deliver(any_database, now - 1000)
    deliver(any_database, now - 1000, arrivals=2, state="rest")
    deliver(any_database, now - 1000, arrivals=3, shown_at=now + 60_000)
    deliver(any_database, now - 1000, arrivals=4, pushed=1, reply="success", shown_at=now + 60_000)
    deliver(any_database, now - 2 * DAY, state="rest", shown=0, shown_at=None)
    deliver(any_database, now - 1000, turn_id=None)  # no question
    total = board(any_database, now - 3 * DAY, now).total
    assert total.turns == 5
    assert total.channels == {"miniprogram": 4, "official": 1}
    assert total.tokens == (150, 7)
    assert total.statuses == {"done": 1, "failed": 3, "blocked": 1}
    assert next(iter(total.errors.items())) == ("model_error", 2)
    assert total.errors == {"model_error": 2, "model_timeout": 1, "content_blocked": 1}
    assert (total.masked, total.blocked, total.ratings) == (1, 1, (1, 1))
    assert total.deliveries == {
        "messages": 5,
        "first": 2,
        "second": 1,
        "third": 1,
        "partial": 1,
        "continued": 1,
        "pushed": 1,
        "uncollected": 1,
    }
    everything = board(any_database, now - 3 * DAY, now, without=()).total
    assert everything.channels["console"] == 1 and everything.turns == 6


# People


def test_people_are_counted_once_in_every_stretch(any_database: Database, indexer: Indexer) -> None:
    one, other = make_user(any_database, "one"), make_user(any_database, "other")
    for day, who in ((2, one), (2, one), (3, one), (3, other), (10, other)):
        put(any_database, at(f"2026-03-{day:02} 12:00"), user_id=who)
    put(any_database, at("2026-03-02 13:00"), user_id=other, channel="console")
    while not indexer.look():
        pass
    span = (at("2026-03-02 00:00"), at("2026-03-16 00:00"))
    told = board(any_database, *span)
    assert [point.figures.users for point in told.points][:2] == [1, 2] and told.total.users == 2
    assert [point.figures.users for point in board(any_database, *span, "week").points] == [2, 1]
    assert board(any_database, *span, "hour").total.users is None
    any_database.write(erasure.erase, one)
    assert board(any_database, *span).total.users == 2, "nobody knows who it was, but somebody was there"
    assert any_database.read(daily.users, 0, 10**6) & {one} == set()
    third = make_user(any_database, "third")
    put(any_database, at("2026-03-10 12:30"), user_id=third)
    break_index(any_database)
    while not indexer.look():
        pass
    assert board(any_database, *span).total.users == 2
    any_database.write(users.merge, third, other)
    assert board(any_database, *span).total.users == 1
    rows = any_database.read(lambda c: c.execute(select(func.count()).select_from(DailyUserRow)).scalar_one())
    assert rows == 3  # the 2nd (by the console), the 3rd and the 10th


def test_who_asks_now_is_counted_with_those_of_before(any_database: Database, indexer: Indexer) -> None:
    one, other = make_user(any_database), make_user(any_database)
    now = now_ms()
    put(any_database, now - 3 * HOUR, user_id=one)
    while not indexer.look():
        pass
    put(any_database, now - 1000, user_id=one)
    put(any_database, now - 1000, user_id=other)
    assert board(any_database, now - 2 * DAY, now).total.users == 2


# The indexer


def test_a_late_rating_is_counted(any_database: Database, indexer: Indexer) -> None:
    user = make_user(any_database)
    when = now_ms() - 5 * DAY
    turn = put(any_database, when, user_id=user)
    while not indexer.look():
        pass
    assert board(any_database, when, when + HOUR).total.ratings == (0, 0)
    any_database.write(lambda c: ratings.rate(c, turns.get(c, turn), "down", "不对", ZONE))
    while not indexer.look():
        pass
    assert board(any_database, when, when + HOUR).total.ratings == (0, 1)
    stale = select(func.count()).where(FiguresRow.stale.is_(True))
    assert any_database.read(lambda c: c.execute(stale).scalar_one()) == 0


def test_a_slot_is_counted_again_when_nothing_changes_in_it_any_more(
    any_database: Database, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    when = now_ms() - 3 * HOUR
    put(any_database, when)
    deliver(any_database, when, state="rest")
    while not indexer.look():
        pass
    any_database.write(lambda c: c.execute(DeliveryRow.__table__.update().values(state="shown")))  # type: ignore[attr-defined]
    while not indexer.look():
        pass
    assert board(any_database, when, when + 1).total.deliveries["partial"] == 1
    monkeypatch.setitem(figures._DELAY_MS, figures.SETTLED, HOUR)
    while not indexer.look():
        pass
    assert board(any_database, when, when + 1).total.deliveries["partial"] == 0


def test_a_dashboard_says_when_the_indexer_is_far_behind(
    any_database: Database, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "MOST_LIVE", 4)
    now = now_ms()
    put(any_database, now - 5 * HOUR)
    put(any_database, now - 1000)
    told = board(any_database, now - DAY, now)
    assert told.behind and told.total.turns == 1
    assert indexer.progress().share < 1
    while not indexer.look():
        pass
    told = board(any_database, now - DAY, now)
    assert not told.behind and told.total.turns == 2
    assert indexer.progress().share == 1 and indexer.progress().upto >= now


def test_where_little_is_asked_the_indexer_is_not_behind_by_the_time_between_two_questions(
    any_database: Database, indexer: Indexer
) -> None:
    now = now_ms()
    put(any_database, now - DAY)
    while not indexer.look():
        pass
    put(any_database, now - 70_000)  # old enough to be entered, and not entered yet
    assert indexer.progress().share < 1
    assert indexer.progress().upto >= now - 71_000


def test_one_of_two_consoles_indexes_at_a_time(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "LEASE_MS", 60_000)
    first, second = (Indexer(any_database, Settings(_env_file=None)) for _ in range(2))  # type: ignore[call-arg]
    put(any_database, now_ms() - DAY)
    assert not first.look(0)  # it has no time, but the minute is its own
    assert second.look()
    assert any_database.read(turnindex.reached) == 0


def test_the_indexer_works_in_a_thread_until_it_is_stopped(any_database: Database, indexer: Indexer) -> None:
    turn = put(any_database, now_ms() - DAY)
    indexer.start()
    give_up = now_ms() + 10_000
    while any_database.read(turnindex.reached) < turn and now_ms() < give_up:
        pass
    indexer.stop()
    assert any_database.read(turnindex.reached) == turn
