"""The dashboard: what was counted of the past, with the newest slots, which nobody has counted yet, counted now.

board = database.read(stats.dashboard, since, until, "day", settings.timezone)
board.total.turns, board.total.first_token(0.95), [point.figures.users for point in board.points]
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from core.store import daily, figures
from core.store.complaints import CONSOLE
from core.store.figures import SLOT_MS, Counts, day_of, slot_of
from core.tables import now_ms

Step = Literal["hour", "day", "week", "month"]
Visits = Collection[tuple[int, int]]  # when, and by whom: of the slots nobody has counted yet
MOST_POINTS = 1_000
MOST_LIVE = 96  # slots that are counted now; if the indexer is further behind, `behind` says so


@dataclass(slots=True)
class Figures:
    """What happened in a stretch of time."""

    # Of core.store.figures, all channels together. (A dashboard adds up a million of them: a Counter takes twice as
    # long as a plain dict.)
    counts: dict[str, int] = field(default_factory=dict)
    channels: Counts = field(default_factory=Counter)  # turns of each
    users: int | None = None  # different people; None for hours, of which nobody keeps account

    @property
    def turns(self) -> int:
        return self._of("turns")

    @property
    def tokens(self) -> tuple[int, int]:
        """Of what the model read and of what it wrote."""
        return self._of("in"), self._of("out")

    @property
    def statuses(self) -> dict[str, int]:
        return self._named("s:")

    @property
    def errors(self) -> dict[str, int]:
        """By code, the most frequent first."""
        return dict(sorted(self._named("e:").items(), key=lambda item: -item[1]))

    @property
    def masked(self) -> int:
        """Turns in which words were masked."""
        return self._of("masked")

    @property
    def blocked(self) -> int:
        """Turns whose answer was withheld."""
        return self._of("s:blocked")

    @property
    def ratings(self) -> tuple[int, int]:
        """Up and down."""
        return self._of("up"), self._of("down")

    @property
    def deliveries(self) -> dict[str, int]:
        """Messages of followers.

        `messages` all of them; `first`, `second`, `third` on which delivery they got a reply; `continued` shown
        further by a later message; `pushed`; `partial` not shown to the end yet; `uncollected` nor ever.
        """
        names = {"first": "d:1", "second": "d:2", "third": "d:3"}
        plain = ("messages", "first", "second", "third", "partial", "continued", "pushed", "uncollected")
        return {name: self._of(names.get(name, name)) for name in plain}

    def first_token(self, share: float) -> float | None:
        """The milliseconds to the first token that this share of the answers did not exceed: `first_token(0.95)`."""
        return figures.percentile(self.counts, "f:", share)

    def answer(self, share: float) -> float | None:
        """The same of whole answers."""
        return figures.percentile(self.counts, "w:", share)

    def _of(self, name: str) -> int:
        return self.counts.get(name, 0)

    def _named(self, prefix: str) -> dict[str, int]:
        return {name[len(prefix) :]: count for name, count in self.counts.items() if name.startswith(prefix)}

    def add(self, counts: Mapping[str, int], channels: Mapping[str, int]) -> None:
        """What happened besides, and how many turns of each channel that was."""
        mine = self.counts
        for name, count in counts.items():
            mine[name] = mine[name] + count if name in mine else count
        self.channels.update(channels)


@dataclass(frozen=True, slots=True)
class Point:
    """One bar of the dashboard: from `start` (milliseconds since 1970) to the next one."""

    start: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class Dashboard:
    points: list[Point]
    total: Figures
    behind: bool  # the indexer has not counted everything yet: figures are missing


def dashboard(
    connection: Connection,
    since: int,
    until: int,
    step: Step,
    timezone: str,
    *,
    without: Collection[str] = (CONSOLE,),
) -> Dashboard:
    """Figures from `since` up to before `until`, begun at the start of a step in `timezone`.

    Without the channels named: staff's own tests, unless told otherwise.
    """
    zone = ZoneInfo(timezone)
    until = min(until, now_ms() + SLOT_MS)
    starts = list(_starts(since, until, step, zone))
    points = [Point(start, Figures()) for start in starts]
    if not points:
        return Dashboard([], Figures(), False)
    first, last = slot_of(starts[0]), slot_of(until - 1)
    counted = figures.reached(connection)
    live = max(first, counted, last - MOST_LIVE + 1)
    measured = figures.measure(connection, live, last)
    slots = [slot_of(start) for start in starts]
    total = Figures()

    def add(slot: int, channel: str, counts: Mapping[str, int]) -> None:
        if channel not in without:
            points[bisect_right(slots, slot) - 1].figures.add(counts, {channel: counts.get("turns", 0)})

    for slot, channel, counts in figures.kept(connection, first, min(last, live - 1)):
        add(slot, channel, counts)
    for (slot, channel), fresh in measured.counts.items():
        add(slot, channel, fresh)
    for point in points:
        total.add(point.figures.counts, point.figures.channels)
    if step != "hour":
        visits = [(slot * SLOT_MS, user) for slot, user, channel in measured.visits if channel not in without]
        ends = [*starts[1:], until]
        if step == "day":  # one question for all of them
            days = daily.by_day(connection, day_of(starts[0], zone), day_of(until - 1, zone), without)
            for point, end in zip(points, ends, strict=True):
                known = days.get(day_of(point.start, zone), 0)
                point.figures.users = _users(connection, point.start, end, zone, visits, without, known)
            total.users = _users(connection, starts[0], until, zone, visits, without)
        else:  # each day is read once: people of the steps are those of the whole
            everybody: set[int] = set()
            for point, end in zip(points, ends, strict=True):
                people = _people(connection, point.start, end, zone, visits, without)
                point.figures.users = len(people)
                everybody |= people
            total.users = len(everybody)
    return Dashboard(points, total, behind=figures.uncounted(connection, max(first, counted), live - 1))


def _users(
    connection: Connection,
    start: int,
    end: int,
    zone: ZoneInfo,
    visits: Visits,
    without: Collection[str],
    known: int | None = None,
) -> int:
    if any(start <= at < end for at, _ in visits):
        return len(_people(connection, start, end, zone, visits, without))
    return daily.count(connection, day_of(start, zone), day_of(end - 1, zone), without) if known is None else known


def _people(
    connection: Connection, start: int, end: int, zone: ZoneInfo, visits: Visits, without: Collection[str]
) -> set[int]:
    kept = daily.users(connection, day_of(start, zone), day_of(end - 1, zone), without)
    return kept | {user for at, user in visits if start <= at < end}


def _starts(since: int, until: int, step: Step, zone: ZoneInfo) -> Iterator[int]:
    """When the steps begin, the first one at or before `since`."""
    at = datetime.fromtimestamp(since / 1000, zone).replace(minute=0, second=0, microsecond=0)
    if step != "hour":
        at = at.replace(hour=0)
    if step == "week":
        at -= timedelta(days=at.weekday())
    if step == "month":
        at = at.replace(day=1)
    for _ in range(MOST_POINTS):
        start = int(at.timestamp() * 1000)
        if start >= until:
            return
        yield start
        if step == "hour":
            at = datetime.fromtimestamp(start / 1000 + 3600, zone)  # an hour may come twice, or not at all
        elif step == "month":
            at = (at + timedelta(days=32)).replace(day=1)
        else:
            at += timedelta(days=1 if step == "day" else 7)  # by the calendar, whatever a day's length
