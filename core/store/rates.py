"""How often something may be done within a minute, counted in one row for all processes."""

import time

from sqlalchemy import Connection, case, or_, select, update

from core.errors import QuotaExceeded
from core.store.upsert import insert_if_absent
from core.tables import JobRow, now_ms

PREFIX = "rate:"
_COUNT_BITS = 20  # a mark is the minute, and below it the count


def mark_of(milliseconds: int) -> int:
    """What every mark of an earlier minute is less than."""
    return milliseconds // 60_000 << _COUNT_BITS


def count(connection: Connection, name: str, limit: int) -> None:
    """Count it once more in this minute; raises QuotaExceeded where that makes more than `limit` (0: any number)."""
    if not limit:
        return
    name, now = PREFIX + name, mark_of(now_ms())
    # A minute that lies ahead was counted by a clock that has been put right since.
    ahead = JobRow.mark >= now + (2 << _COUNT_BITS)
    ours = (JobRow.mark >= now) & ~ahead
    once_more = (
        update(JobRow)
        .where(JobRow.name == name, or_(JobRow.mark < now + limit, ahead))
        .values(mark=case((ours, JobRow.mark + 1), else_=now + 1))
    )
    while connection.execute(once_more).rowcount != 1:
        if connection.execute(select(JobRow.name).where(JobRow.name == name)).first() is not None:
            raise QuotaExceeded("minute", limit, 60 - int(time.time()) % 60)
        if insert_if_absent(connection, JobRow, name=name, mark=now + 1):
            return
