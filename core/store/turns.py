"""Turns: accepted, and read by whoever may. How they are written is in `core/store/writing.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast

import orjson
from sqlalchemy import Connection, Table, bindparam, insert, or_, select, update

from core.errors import Busy, Conflict, NotFound, NotRenewable, Unauthorized, UserBlocked
from core.messages import Turn
from core.store import conversations
from core.store.users import Quota, count_question
from core.tables import ConversationRow, TurnRow, UserRow, now_ms

Status = Literal["queued", "answering", "done", "stopped", "failed", "blocked"]
OPEN = ("queued", "answering")
MAX_WAITING = 5  # questions of one user that may wait

_TURN = cast(Table, TurnRow.__table__)
_CONVERSATION = cast(Table, ConversationRow.__table__)


@dataclass(frozen=True, slots=True)
class Options:
    """How the model is asked. What staff try out in the console takes the place of what is live."""

    max_tokens: int
    thinking: bool = False
    temperature: float | None = None  # None: the model's own
    top_p: float | None = None
    history_turns: int | None = None  # None: MAX_HISTORY_TURNS
    prompt: str | None = None  # a draft of the system prompt, brand facts included
    prompt_version: int | None = None  # the version the draft is, unchanged

    def dumps(self) -> str:
        return orjson.dumps({name: value for name, value in asdict(self).items() if value is not None}).decode()

    @classmethod
    def loads(cls, text: str) -> "Options":
        return cls(**orjson.loads(text))


@dataclass(frozen=True, slots=True)
class Question:
    """A question that passed every check and is to be stored."""

    id: int
    user_id: int
    channel: str
    text: str
    options: Options
    conversation_id: int | None = None
    new_conversation: bool = False  # `conversation_id` names one to be made
    continue_since: int | None = None  # rather go on in the user's latest one, unless it ended before (ms)
    replaces: int | None = None  # the turn whose answer this one takes the place of
    context: Sequence[Mapping[str, str]] | None = None  # earlier messages, where the client holds the history
    request_key: str | None = None
    request_hash: str | None = None
    hits: Sequence[Mapping[str, Any]] = field(default=())


def accept(connection: Connection, asked: Question, quota: Quota, writer: int | None) -> Any:
    """Store a question in the name of its user, count it, and give it to `writer` if it need not wait.

    Returns the turn's row; if the same `request_key` was accepted before, that row, which costs no
    quota. Raises Conflict, UserBlocked, NotFound, Busy or QuotaExceeded, with nothing stored.
    """
    # The user's row is the lock: one question of a user at a time, whatever process takes it.
    user = connection.execute(_LOCKED_USER, {"id": asked.user_id}).first()
    if user is None:
        raise Unauthorized("no such user")
    if asked.request_key:
        before = connection.execute(_BY_KEY, {"user": asked.user_id, "key": asked.request_key}).first()
        if before is not None:
            if before.request_hash != asked.request_hash:
                raise Conflict("the same request id with another body")
            return before
    if user.blocked is not None:
        raise UserBlocked("blocked by staff")
    seq = latest = None
    if asked.continue_since is not None:
        latest = conversations.latest_row(connection, asked.user_id, asked.channel, asked.continue_since)
    if latest is not None:
        asked = replace(asked, conversation_id=latest.id, new_conversation=False)
        seq = latest.last_seq + 1
    elif asked.conversation_id is not None:
        seq = 1
        if not asked.new_conversation:
            seq = _last_seq(connection, asked) + 1
        if asked.replaces is not None:
            seq -= 1
            _check_replaceable(connection, asked, seq)
    waiting = connection.execute(_OPEN_OF_USER, {"user": asked.user_id}).all()
    behind = seq is not None and any(one.conversation_id == asked.conversation_id for one in waiting)
    starts = writer is not None and not behind
    if not starts and sum(one.status == "queued" for one in waiting) >= MAX_WAITING:
        raise Busy("too many questions of this user wait")
    day, minute = count_question(connection, user, quota)

    now = now_ms()
    if asked.new_conversation:
        connection.execute(
            _INSERT_CONVERSATION,
            {
                "id": asked.conversation_id,
                "user_id": asked.user_id,
                "channel": asked.channel,
                "title": _title(asked.text),
                "last_seq": 1,
                "created_at": now,
                "updated_at": now,
            },
        )
    elif seq is not None:
        connection.execute(_TOUCH_CONVERSATION, {"conversation": asked.conversation_id, "seq": seq, "now": now})
    if asked.replaces is not None:
        connection.execute(update(TurnRow).where(TurnRow.id == asked.replaces).values(superseded=True))
    row = {
        "id": asked.id,
        "user_id": asked.user_id,
        "conversation_id": asked.conversation_id,
        "seq": seq,
        "channel": asked.channel,
        "request_key": asked.request_key,
        "request_hash": asked.request_hash,
        "question": asked.text,
        "context": orjson.dumps(asked.context).decode() if asked.context is not None else None,
        "options": asked.options.dumps(),
        "status": "answering" if starts else "queued",
        "writer": writer if starts else None,
        "attempt": 1 if starts else 0,
        "answer": "",
        "reasoning": "",
        "hits": orjson.dumps(asked.hits).decode() if asked.hits else None,
        "counted_day": day,
        "counted_minute": minute,
        "created_at": now,
    }
    connection.execute(_INSERT_TURN, row)
    return Fresh(row)


class Fresh:
    """The row just inserted, readable like one that was selected."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(_NOTHING_YET, **values)


_NOTHING_YET: dict[str, Any] = {column.key: None for column in _TURN.columns} | {
    "version": 0,
    "stop_requested": False,
    "superseded": False,
}
_LOCKED_USER = select(UserRow.__table__).where(UserRow.id == bindparam("id")).with_for_update()
_BY_KEY = select(_TURN).where(TurnRow.user_id == bindparam("user"), TurnRow.request_key == bindparam("key"))
_OPEN_OF_USER = select(_TURN.c.conversation_id, _TURN.c.status).where(
    # An IN is put together anew each time.
    _TURN.c.user_id == bindparam("user"),
    or_(*(_TURN.c.status == status for status in OPEN)),
)
_INSERT_TURN = insert(_TURN)
_INSERT_CONVERSATION = insert(_CONVERSATION)
_TOUCH_CONVERSATION = (
    update(_CONVERSATION)
    .where(_CONVERSATION.c.id == bindparam("conversation"))
    .values(last_seq=bindparam("seq"), updated_at=bindparam("now"))
)


def _last_seq(connection: Connection, asked: Question) -> int:
    values = {"conversation": asked.conversation_id, "user": asked.user_id}
    last: int | None = connection.execute(_LAST_SEQ, values).scalar()
    if last is None:
        raise NotFound("no such conversation")
    return last


_LAST_SEQ = select(_CONVERSATION.c.last_seq).where(
    _CONVERSATION.c.id == bindparam("conversation"),
    _CONVERSATION.c.user_id == bindparam("user"),
    _CONVERSATION.c.deleted_at.is_(None),
)


def _check_replaceable(connection: Connection, asked: Question, last: int) -> None:
    """Only the last answer of a conversation can be renewed, and only once it is finished; else NotRenewable."""
    query = select(TurnRow.conversation_id, TurnRow.seq, TurnRow.status, TurnRow.superseded)
    turn = connection.execute(query.where(TurnRow.id == asked.replaces)).first()
    if turn is None or turn.conversation_id != asked.conversation_id:
        raise NotFound("no such turn")
    if turn.seq != last or turn.superseded or turn.status in OPEN:
        raise NotRenewable("not the last answer of its conversation, or not finished")


def _title(question: str) -> str:
    """The first line of a question, short."""
    line = question.strip().split("\n", 1)[0].strip()
    return line if len(line) <= 30 else line[:29] + "…"


_GET = select(_TURN).where(TurnRow.id == bindparam("turn"))
_GET_OF_USER = _GET.where(TurnRow.user_id == bindparam("user"))


def get(connection: Connection, turn_id: int) -> Any:
    """A turn's row; raises NotFound."""
    row = connection.execute(_GET, {"turn": turn_id}).first()
    if row is None:
        raise NotFound("no such turn")
    return row


def get_of_user(connection: Connection, turn_id: int, user_id: int) -> Any:
    """A turn's row if it is this user's and its conversation still is theirs to see; else NotFound."""
    row = connection.execute(_GET_OF_USER, {"turn": turn_id, "user": user_id}).first()
    if row is None:
        raise NotFound("no such turn")
    if row.conversation_id is not None:
        gone = select(ConversationRow.deleted_at).where(ConversationRow.id == row.conversation_id)
        if connection.execute(gone).scalar() is not None:
            raise NotFound("the conversation was deleted")
    return row


_HISTORY = (
    select(TurnRow.question, TurnRow.answer)
    .where(
        TurnRow.conversation_id == bindparam("conversation"),
        TurnRow.seq < bindparam("seq"),
        TurnRow.status.in_(("done", "stopped")),
        TurnRow.answer != "",
        TurnRow.superseded.is_(False),
    )
    .order_by(TurnRow.seq.desc())
    .limit(bindparam("limit"))
)


def history(connection: Connection, conversation_id: int, seq: int, limit: int) -> list[Turn]:
    """The last `limit` answered turns of a conversation before `seq`, oldest first."""
    values = {"conversation": conversation_id, "seq": seq, "limit": limit}
    return [Turn(*row) for row in reversed(connection.execute(_HISTORY, values).all())]


def recent_speed(connection: Connection, limit: int = 20) -> Sequence[Any]:
    """Texts and times of the latest whole answers, to begin with an idea of the writing speed."""
    # Cut before it is searched: else SQLite finds all that are done by their index, and sorts a million rows.
    newest = select(_TURN).order_by(TurnRow.id.desc()).limit(10 * limit).subquery().c
    latest = (
        select(newest.answer, newest.reasoning, newest.first_token_ms, newest.duration_ms)
        .where(newest.status == "done", newest.first_token_ms.is_not(None), newest.duration_ms > 0)
        .order_by(newest.id.desc())
        .limit(limit)
    )
    return connection.execute(latest).all()
