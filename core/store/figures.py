"""What happened, in numbers: per half hour and channel, so that a dashboard need not read a million turns.

A slot is a half hour of UTC (days begin at half hours almost everywhere). Its counts are names with numbers that can
be added: `turns`, `s:` + status, `e:` + error code, `in` and `out` (tokens), `masked` (turns with masked words), `up`
and `down`, `f:` and `w:` + bucket (milliseconds to the first token, and to the end); of the messages of followers
`messages`, `d:1` to `d:3` (answered on the first, second, third delivery), `partial`, `continued`, `pushed`,
`uncollected`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from core.store import daily, marks
from core.store.deliveries import KEPT_MS, LOST_MS
from core.store.upsert import insert_if_absent
from core.tables import DeliveryRow, FiguresRow, JobRow, TurnRow, id_at, now_ms, time_of

SLOT_MS = 1_800_000
# Marks of jobs: each slot before it has been counted when it was over, and again when nothing is likely to change in
# it any more: an answer can be collected for a day.
CLOSED, SETTLED = "figures", "settled figures"
_DELAY_MS = {CLOSED: 600_000, SETTLED: KEPT_MS + SLOT_MS}
AT_ONCE = 8  # slots
FOLLOWERS = "official"  # the channel whose answers are delivered
Counts = Counter[str]

_WIDTH = math.log(1.15)  # of a bucket: its middle is at most 7 % from anything in it
UNFINISHED = ("rest", "push", "undeliverable")  # states of a message whose answer was not shown to the end
_SILENT = ("", "success")  # replies that say nothing


def bucket(milliseconds: int) -> int:
    return int(math.log(milliseconds) / _WIDTH) if milliseconds > 1 else 0


def percentile(counts: Mapping[str, int], prefix: str, share: float) -> float | None:
    """The milliseconds that this share of what is counted under `prefix` (`f:`, `w:`) does not exceed."""
    buckets = sorted((int(name[2:]), count) for name, count in counts.items() if name.startswith(prefix))
    wanted = share * sum(count for _, count in buckets)
    seen = 0
    for number, count in buckets:
        seen += count
        if seen >= wanted:
            return math.exp((number + 0.5) * _WIDTH)
    return None


@dataclass(frozen=True, slots=True)
class Measured:
    """One or more slots as they are now."""

    counts: dict[tuple[int, str], Counts]  # by slot and channel
    visits: set[tuple[int, int, str]]  # slot, user id, channel


_TURN = select(
    TurnRow.id,
    TurnRow.channel,
    TurnRow.user_id,
    TurnRow.status,
    TurnRow.code,
    TurnRow.rating,
    TurnRow.prompt_tokens,
    TurnRow.completion_tokens,
    TurnRow.first_token_ms,
    TurnRow.duration_ms,
    TurnRow.hits,
)
_DELIVERY = select(
    DeliveryRow.id,
    DeliveryRow.created_at,
    DeliveryRow.arrivals,
    func.substr(DeliveryRow.reply, 1, 10).label("reply"),
    DeliveryRow.state,
    DeliveryRow.shown,
    DeliveryRow.shown_at,
    DeliveryRow.pushed,
)


def slot_of(milliseconds: int) -> int:
    return milliseconds // SLOT_MS


def measure(connection: Connection, first: int, last: int) -> Measured:
    """Count what happened from the slot `first` to the slot `last`, from the turns themselves."""
    counts: dict[tuple[int, str], Counts] = {}
    visits = set()
    for turn in connection.execute(_in_slots(_TURN, TurnRow.id, first, last)):
        slot = slot_of(time_of(turn.id))
        _count_turn(counts.setdefault((slot, turn.channel), Counter()), turn)
        if turn.user_id is not None:
            visits.add((slot, turn.user_id, turn.channel))
    kept_since = now_ms() - KEPT_MS
    messages = _DELIVERY.where(DeliveryRow.turn_id.is_not(None))
    for row in connection.execute(_in_slots(messages, DeliveryRow.id, first, last)):
        slot = slot_of(time_of(row.id))
        _count_delivery(counts.setdefault((slot, FOLLOWERS), Counter()), row, kept_since)
    return Measured(counts, visits)


def _in_slots(query: Any, key: Any, first: int, last: int) -> Any:
    return query.where(key >= id_at(first * SLOT_MS), key < id_at((last + 1) * SLOT_MS)).order_by(key)


def _count_turn(counts: Counts, turn: Any) -> None:
    counts["turns"] += 1
    counts[f"s:{turn.status}"] += 1
    if turn.code:
        counts[f"e:{turn.code}"] += 1
    if turn.prompt_tokens:
        counts["in"] += turn.prompt_tokens
    if turn.completion_tokens:
        counts["out"] += turn.completion_tokens
    if marks.masked(turn.hits):
        counts["masked"] += 1
    if turn.rating:
        counts[turn.rating] += 1
    if turn.first_token_ms is not None:
        counts[f"f:{bucket(turn.first_token_ms)}"] += 1
    if turn.duration_ms is not None and turn.status == "done":
        counts[f"w:{bucket(turn.duration_ms)}"] += 1


def _count_delivery(counts: Counts, row: Any, kept_since: int) -> None:
    counts["messages"] += 1
    if row.reply is not None and row.reply not in _SILENT:
        counts[f"d:{min(row.arrivals, 3)}"] += 1
    if row.pushed:
        counts["pushed"] += 1
    elif row.shown and row.shown_at - row.created_at > LOST_MS:
        counts["continued"] += 1
    if row.state in UNFINISHED:
        counts["partial" if row.created_at >= kept_since else "uncollected"] += 1


# Kept


def store(connection: Connection, measured: Measured, first: int, last: int, timezone: str) -> None:
    """Keep the counts of these slots in place of what was kept of them."""
    connection.execute(delete(FiguresRow).where(FiguresRow.slot.between(first, last)))
    rows = [
        {"slot": slot, "channel": channel, "counts": orjson.dumps(counts).decode(), "stale": False}
        for (slot, channel), counts in sorted(measured.counts.items())
    ]
    if rows:
        connection.execute(insert(FiguresRow), rows)
    zone = ZoneInfo(timezone)
    daily.put(connection, {(day_of(slot * SLOT_MS, zone), user, channel) for slot, user, channel in measured.visits})
    for job, delay in _DELAY_MS.items():
        if last < slot_of(now_ms() - delay):
            insert_if_absent(connection, JobRow, name=job, mark=0)
            connection.execute(update(JobRow).where(JobRow.name == job, JobRow.mark <= last).values(mark=last + 1))


def day_of(milliseconds: int, zone: ZoneInfo) -> int:
    return datetime.fromtimestamp(milliseconds / 1000, zone).toordinal()


def kept(connection: Connection, first: int, last: int) -> Iterator[tuple[int, str, dict[str, int]]]:
    """The slots that are kept, each with its channel and counts."""
    query = select(FiguresRow.slot, FiguresRow.channel, FiguresRow.counts).where(FiguresRow.slot.between(first, last))
    for slot, channel, counts in connection.execute(query.order_by(FiguresRow.slot)).all():
        yield slot, channel, orjson.loads(counts)


def outdate(connection: Connection, turn_id: int) -> None:
    """Something has changed about a turn: its slot is to be counted again."""
    own = FiguresRow.slot == slot_of(time_of(turn_id))
    connection.execute(update(FiguresRow).where(own).values(stale=True))


# Which slots are counted next

_MARK = select(JobRow.mark).where(JobRow.name == bindparam("job"))


def reached(connection: Connection, job: str = CLOSED) -> int:
    """The first slot that has not been counted."""
    return connection.execute(_MARK, {"job": job}).scalar() or 0


_KEYS = (TurnRow.id, DeliveryRow.id)


def uncounted(connection: Connection, first: int, last: int) -> bool:
    """Whether anything happened in these slots, which nobody has counted."""
    return (
        last >= first
        and connection.execute(_in_slots(select(TurnRow.id), TurnRow.id, first, last).limit(1)).first() is not None
    )


def next_slots(connection: Connection) -> tuple[int, int] | None:
    """The slots to be counted next, the first and the last of them, if there are any."""
    # What is settled need not be counted as closed before.
    for job in (SETTLED, CLOSED):
        if (first := _due(connection, job)) is not None:
            last = slot_of(now_ms() - _DELAY_MS[job]) - 1
            return first, min(last, first + AT_ONCE - 1)
    stale = connection.execute(select(FiguresRow.slot).where(FiguresRow.stale.is_(True)).limit(1)).scalar()
    return (stale, stale) if stale is not None else None


def _due(connection: Connection, job: str) -> int | None:
    since = id_at(reached(connection, job) * SLOT_MS)
    firsts = [connection.execute(select(func.min(key)).where(key >= since)).scalar() for key in _KEYS]
    found = [first for first in firsts if first is not None]
    if not found:
        return None
    slot = slot_of(time_of(min(found)))  # those between are empty
    return slot if slot < slot_of(now_ms() - _DELAY_MS[job]) else None
