"""What may be done so often a minute: exact across processes, on every kind of database."""

import time
from functools import partial

import pytest
from sqlalchemy import select, update

from core.database import Database
from core.errors import QuotaExceeded
from core.store import rates, retention
from core.tables import JobRow, now_ms
from tests.stores import in_threads, second_process


@pytest.fixture(autouse=True)
def early_in_the_minute() -> None:
    """Counting begins anew with the minute: what a test counts must not lie on both sides."""
    if (left := 60 - time.time() % 60) < 3:
        time.sleep(left)


def test_a_name_may_be_counted_so_often_and_another_is_counted_by_itself(any_database: Database) -> None:
    for _ in range(3):
        any_database.write(rates.count, "login:10.0.0.1", 3)
    with pytest.raises(QuotaExceeded) as refused:
        any_database.write(rates.count, "login:10.0.0.1", 3)
    assert refused.value.limit == 3 and 1 <= refused.value.retry_after <= 60
    any_database.write(rates.count, "login:10.0.0.2", 3)
    any_database.write(rates.count, "login:10.0.0.1", 0)  # any number


def test_all_at_once_in_two_processes_are_counted_exactly(any_database: Database) -> None:
    with second_process(any_database) as other:
        count = [partial(database.write, rates.count, "all", 5) for database in (any_database, other)]
        outcomes = in_threads(*count * 6)
    assert outcomes.count(None) == 5
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 7


def set_mark(database: Database, milliseconds: int) -> None:
    mark = rates.mark_of(milliseconds) + 3
    database.write(lambda connection: connection.execute(update(JobRow).values(mark=mark)))


@pytest.mark.parametrize("minutes", [-1, 3], ids=["the next minute", "after a clock was put back"])
def test_counting_begins_anew(any_database: Database, minutes: int) -> None:
    any_database.write(rates.count, "again", 1)
    set_mark(any_database, now_ms() + minutes * 60_000)
    any_database.write(rates.count, "again", 1)
    with pytest.raises(QuotaExceeded):
        any_database.write(rates.count, "again", 1)


def test_the_daily_job_forgets_what_was_counted_days_ago(any_database: Database) -> None:
    any_database.write(rates.count, "old", 1)
    set_mark(any_database, now_ms() - 2 * 86_400_000)
    any_database.write(rates.count, "new", 1)
    for _, clear in retention.of_sessions(now_ms()):
        any_database.write(clear)
    names = any_database.read(lambda connection: list(connection.execute(select(JobRow.name)).scalars()))
    assert "rate:new" in names and "rate:old" not in names
