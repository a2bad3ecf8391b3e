"""The tables. They know only SQLAlchemy; every statement about them is in `core/store/`.

Ids are 63-bit numbers that grow with time and end in random bits, made by `new_id()` in the process that
inserts: no round trip, and a page of "newest first" is a page by primary key. Times are milliseconds since
1970. Text that may be long is LONGTEXT in MySQL, whose TEXT ends at 64 KB.
"""

import secrets
import time
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Id = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER is SQLite's own row number
LongText = Text().with_variant(LONGTEXT, "mysql", "mariadb")
_EPOCH_MS = 1_735_689_600_000  # 2025-01-01


def now_ms() -> int:
    """The wall clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def new_id() -> int:
    """A new row id: 41 bits of milliseconds, 22 random bits."""
    return (now_ms() - _EPOCH_MS) << 22 | secrets.randbits(22)


def id_at(milliseconds: int) -> int:
    """What every id made before this time is less than."""
    return max(0, milliseconds - _EPOCH_MS) << 22


def time_of(row_id: int) -> int:
    """When an id was made, in milliseconds since 1970."""
    return (row_id >> 22) + _EPOCH_MS


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _with(*constraints: Any) -> tuple[Any, ...]:
    """Table arguments: MySQL compares text byte by byte, as SQLite and PostgreSQL do."""
    return (*constraints, {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"})


class UserRow(Base):
    """One person, whichever of our apps they come from, with the questions counted in the current windows."""

    __tablename__ = "users"
    __table_args__ = _with()

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    created_at: Mapped[int] = mapped_column(BigInteger)
    blocked: Mapped[str | None] = mapped_column(Text)  # the reason
    per_day: Mapped[int | None]  # a quota of their own
    day: Mapped[int] = mapped_column(default=0)  # number of the day in TIMEZONE
    day_count: Mapped[int] = mapped_column(default=0)
    minute: Mapped[int] = mapped_column(default=0)  # minutes since 1970
    minute_count: Mapped[int] = mapped_column(default=0)


class IdentityRow(Base):
    """`appid + openid` → user. A UnionID is an identity too, under the appid `unionid`."""

    __tablename__ = "identities"
    __table_args__ = _with()

    appid: Mapped[str] = mapped_column(String(64), primary_key=True)
    openid: Mapped[str] = mapped_column(String(128), primary_key=True, index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)


class SessionRow(Base):
    """A mini-program log-in: the SHA-256 of the token the client holds."""

    __tablename__ = "sessions"
    __table_args__ = _with()

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)


class ConversationRow(Base):
    __tablename__ = "conversations"
    __table_args__ = _with(Index(None, "user_id", "updated_at", "id"))

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    channel: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(String(200))
    last_seq: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)  # gone for the user; the log keeps its turns


class TurnRow(Base):
    """A question and its answer: the conversation's content, the writers' queue, and the log, in one."""

    __tablename__ = "turns"
    __table_args__ = _with(
        UniqueConstraint("user_id", "request_key"),
        Index(None, "conversation_id", "seq"),
        Index(None, "user_id", "status"),
        Index(None, "status", "writer", "stop_requested"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    user_id: Mapped[int | None] = mapped_column(Id)
    conversation_id: Mapped[int | None] = mapped_column(Id)  # none: the client holds the history
    seq: Mapped[int | None]  # place in the conversation
    channel: Mapped[str] = mapped_column(String(16))
    request_key: Mapped[str | None] = mapped_column(String(160))  # the client's or WeChat's name of the request
    request_hash: Mapped[str | None] = mapped_column(String(64))  # of its body: the same key must mean the same
    question: Mapped[str] = mapped_column(LongText)
    context: Mapped[str | None] = mapped_column(LongText)  # JSON: earlier messages, where the client holds them
    options: Mapped[str] = mapped_column(Text)  # JSON of core.store.turns.Options

    status: Mapped[str] = mapped_column(String(10))
    writer: Mapped[int | None] = mapped_column(Id)  # the process that writes the answer
    attempt: Mapped[int] = mapped_column(default=0)  # grows with each claim; saves must carry it
    version: Mapped[int] = mapped_column(default=0)  # grows with each save
    stop_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    counted_day: Mapped[int | None]  # where the quota counted it, to give it back if the answer fails
    counted_minute: Mapped[int | None]

    answer: Mapped[str] = mapped_column(LongText)
    reasoning: Mapped[str] = mapped_column(LongText)
    code: Mapped[str | None] = mapped_column(String(32))  # of the error it ended in
    finish_reason: Mapped[str | None] = mapped_column(String(32))
    prompt_version: Mapped[int | None]
    model: Mapped[str | None] = mapped_column(String(160))
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    first_token_ms: Mapped[int | None]  # from the claim
    duration_ms: Mapped[int | None]  # from the claim
    hits: Mapped[str | None] = mapped_column(LongText)  # JSON: words moderation found in question and answer
    superseded: Mapped[bool] = mapped_column(Boolean, default=False)  # a regenerated answer took its place
    rating: Mapped[str | None] = mapped_column(String(8))
    rating_reason: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)  # staff's
    score: Mapped[int | None]  # staff's
    better_answer: Mapped[str | None] = mapped_column(LongText)  # what staff would have answered
    reviewed_by: Mapped[str | None] = mapped_column(String(64))  # who of them wrote these last
    reviewed_at: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)


class DeliveryRow(Base):
    """A message of a follower of the official account, and how its answer reaches them."""

    __tablename__ = "deliveries"
    __table_args__ = _with(
        UniqueConstraint("appid", "key"),
        Index(None, "appid", "openid", "id"),
        Index(None, "state", "due"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    appid: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(160))  # WeChat's name of the message
    openid: Mapped[str] = mapped_column(String(128))
    turn_id: Mapped[int | None] = mapped_column(Id, index=True)
    arrivals: Mapped[int] = mapped_column(default=1)  # how often WeChat has delivered it
    reply: Mapped[str | None] = mapped_column(LongText)  # what each delivery is answered, once that is decided
    state: Mapped[str] = mapped_column(String(16))  # new, rest, push, undeliverable, shown
    shown: Mapped[int] = mapped_column(default=0)  # characters of the answer (Markdown) that were shown
    shown_hash: Mapped[str | None] = mapped_column(String(64))  # of these characters
    shown_at: Mapped[int | None] = mapped_column(BigInteger)
    pushed: Mapped[int] = mapped_column(default=0)  # customer-service messages sent
    pusher: Mapped[int | None] = mapped_column(Id)  # the process that is sending one
    tries: Mapped[int] = mapped_column(default=0)  # of the piece to be pushed next
    due: Mapped[int] = mapped_column(BigInteger, default=0)  # when it is to be tried
    created_at: Mapped[int] = mapped_column(BigInteger)


class SilenceRow(Base):
    """A delivery left unanswered on purpose: WeChat mutes a server that fails too often."""

    __tablename__ = "silences"
    __table_args__ = _with(Index(None, "appid", "at"))

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    appid: Mapped[str] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(BigInteger)


class FollowerRow(Base):
    """What must not be done twice to a follower of the official account."""

    __tablename__ = "followers"
    __table_args__ = _with()

    appid: Mapped[str] = mapped_column(String(64), primary_key=True)
    openid: Mapped[str] = mapped_column(String(128), primary_key=True)
    typing_at: Mapped[int] = mapped_column(BigInteger, default=0)  # when they were last shown that we type


class AccountRow(Base):
    """One of our accounts at WeChat: what its processes share."""

    __tablename__ = "accounts"
    __table_args__ = _with()

    appid: Mapped[str] = mapped_column(String(64), primary_key=True)
    access_token: Mapped[str] = mapped_column(Text, default="")
    token_until: Mapped[int] = mapped_column(BigInteger, default=0)
    fetching_until: Mapped[int] = mapped_column(BigInteger, default=0)  # somebody is fetching a token
    no_push_until: Mapped[int] = mapped_column(BigInteger, default=0)  # WeChat said that we may not


class MediaCheckRow(Base):
    """A verdict on a picture or a voice, pushed by WeChat some minutes after it was asked for."""

    __tablename__ = "media_checks"
    __table_args__ = _with()

    trace_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    openid: Mapped[str] = mapped_column(String(128))
    errcode: Mapped[int]
    suggest: Mapped[str] = mapped_column(String(16))
    label: Mapped[int]
    created_at: Mapped[int] = mapped_column(BigInteger)


class ProcessRow(Base):
    """A process that may write answers. `beat` grows while it lives."""

    __tablename__ = "processes"
    __table_args__ = _with()

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    host: Mapped[str] = mapped_column(String(160))
    pid: Mapped[int]
    started: Mapped[str] = mapped_column(String(64))  # with the pid it names one process of that host for ever
    beat: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[str] = mapped_column(String(10))  # running, draining


class JobRow(Base):
    """Something the processes do once between them, or so often a minute; `mark` (a day, a time) only grows."""

    __tablename__ = "jobs"
    __table_args__ = _with()

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    mark: Mapped[int] = mapped_column(BigInteger)


class PromptVersionRow(Base):
    """A system prompt as it once was; never changed afterwards."""

    __tablename__ = "prompt_versions"
    __table_args__ = _with()

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(LongText)
    facts: Mapped[str] = mapped_column(LongText)  # about the brand: hours, address, prices
    note: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)


class PromptLabelRow(Base):
    """Which version is live on a channel (the 线上 label)."""

    __tablename__ = "prompt_labels"
    __table_args__ = _with()

    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("prompt_versions.id"))


class WordRow(Base):
    __tablename__ = "words"
    __table_args__ = _with()

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(100), unique=True)
    action: Mapped[str] = mapped_column(String(8))  # mask, block, allow
    category: Mapped[str] = mapped_column(String(32), default="")
    author: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[int] = mapped_column(BigInteger)


class KeywordReplyRow(Base):
    """A sentence of staff's that answers a keyword in place of the model."""

    __tablename__ = "keyword_replies"
    __table_args__ = _with()

    id: Mapped[int] = mapped_column(primary_key=True)
    keyword: Mapped[str] = mapped_column(String(100), index=True)
    match: Mapped[str] = mapped_column(String(10))  # exact, contains
    reply: Mapped[str] = mapped_column(LongText)
    priority: Mapped[int] = mapped_column(default=0)  # the highest that matches answers
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    author: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[int] = mapped_column(BigInteger)


class OptionRow(Base):
    """A setting staff may change while we run (welcome text, suggestions, …); `value` is JSON."""

    __tablename__ = "options"
    __table_args__ = _with()

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(LongText)


class RevisionRow(Base):
    """`number` grows when words, prompts, replies or options change: what each process asks every tick."""

    __tablename__ = "revisions"
    __table_args__ = _with()

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, default=0)


class StaffRow(Base):
    __tablename__ = "staff"
    __table_args__ = _with()

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))  # argon2
    role: Mapped[str] = mapped_column(String(10))  # viewer, editor, admin
    created_at: Mapped[int] = mapped_column(BigInteger)


class StaffSessionRow(Base):
    __tablename__ = "staff_sessions"
    __table_args__ = _with()

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)


class OperationRow(Base):
    """What staff did: who, when, from where, what."""

    __tablename__ = "operations"
    __table_args__ = _with()

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    staff: Mapped[str] = mapped_column(String(64), index=True)
    address: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(200))
    detail: Mapped[str] = mapped_column(LongText)
    created_at: Mapped[int] = mapped_column(BigInteger)


class ComplaintRow(Base):
    """Something staff have to look at: a complaint, or an answer that was disliked, blocked, doubtful to WeChat.

    It holds a copy of what it is about, which outlives the erasure of its user until it is closed.
    """

    __tablename__ = "complaints"
    __table_args__ = _with(Index(None, "state", "id"))

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    receipt: Mapped[str] = mapped_column(String(16), unique=True)  # the number the user was given
    kind: Mapped[str] = mapped_column(String(10))  # core.store.complaints.Kind
    state: Mapped[str] = mapped_column(String(10))  # open, done
    channel: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[int | None] = mapped_column(Id, index=True)  # none: the user has been erased
    turn_id: Mapped[int | None] = mapped_column(Id, index=True)  # none: about the service as a whole
    reason: Mapped[str] = mapped_column(LongText)
    question: Mapped[str] = mapped_column(LongText)
    answer: Mapped[str] = mapped_column(LongText)
    note: Mapped[str] = mapped_column(LongText)  # staff's
    closed_by: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    closed_at: Mapped[int | None] = mapped_column(BigInteger)


class ErasureRow(Base):
    """What stays of a user who had everything erased, under the keyed hash of each of their identities."""

    __tablename__ = "erasures"
    __table_args__ = _with()

    identity_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    blocked: Mapped[bool] = mapped_column(Boolean)
    per_day: Mapped[int | None]
    day: Mapped[int] = mapped_column(index=True)
    day_count: Mapped[int]
    minute: Mapped[int]
    minute_count: Mapped[int]


class KeyRow(Base):
    """A secret of our own, made once."""

    __tablename__ = "keys"
    __table_args__ = _with()

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(128))


class TurnMarkRow(Base):
    """Which turns have something in common (a channel, a status, a rating, …): lists to find the rare ones by.

    Beside it stands `turn_grams`, by which texts are found; see `core/store/grams.py`.
    """

    __tablename__ = "turn_marks"
    __table_args__ = ({**_with()[-1], "sqlite_with_rowid": False},)

    mark: Mapped[str] = mapped_column(String(24), primary_key=True)
    turn_id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)


class FiguresRow(Base):
    """What happened on a channel in half an hour."""

    __tablename__ = "figures"
    __table_args__ = _with()

    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # half hours since 1970
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    counts: Mapped[str] = mapped_column(LongText)  # JSON of core.store.figures
    stale: Mapped[bool] = mapped_column(Boolean, default=False, index=True)  # something in it has changed since


class DailyUserRow(Base):
    """Who asked something on a day (its number in TIMEZONE); of the erased, a negative number that means nobody."""

    __tablename__ = "daily_users"
    __table_args__ = ({**_with()[-1], "sqlite_with_rowid": False},)

    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False, index=True)
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)


class LoginFailureRow(Base):
    """Console log-ins that failed, by name and by address, to slow down guessing."""

    __tablename__ = "login_failures"
    __table_args__ = _with()

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    at: Mapped[int] = mapped_column(BigInteger)
