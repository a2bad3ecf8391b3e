"""What the processes of one WeChat account share: its access token, whether it may push, how silent it has been."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from core.store.upsert import insert_if_absent
from core.tables import AccountRow, MediaCheckRow, SilenceRow, new_id, now_ms

SILENCE_MS = 5 * 60 * 1000


class Token(NamedTuple):
    """An access token; empty where there is none. `until` is in milliseconds since 1970."""

    text: str
    until: int


def token(connection: Connection, appid: str) -> Token:
    query = select(AccountRow.access_token, AccountRow.token_until).where(AccountRow.appid == appid)
    row = connection.execute(query).first()
    return Token(*row) if row else Token("", 0)


def claim_fetch(connection: Connection, appid: str, seen: str, milliseconds: int) -> bool:
    """Whether we are the one to fetch a token in place of `seen`; for so long nobody else is."""
    _ensure(connection, appid)
    now = now_ms()
    mine = (AccountRow.appid == appid, AccountRow.access_token == seen, AccountRow.fetching_until < now)
    return connection.execute(update(AccountRow).where(*mine).values(fetching_until=now + milliseconds)).rowcount == 1


def store_token(connection: Connection, appid: str, text: str, until: int) -> None:
    new = {"access_token": text, "token_until": until, "fetching_until": 0}
    connection.execute(update(AccountRow).where(AccountRow.appid == appid).values(**new))


def fetch_failed(connection: Connection, appid: str) -> None:
    """Let others try."""
    connection.execute(update(AccountRow).where(AccountRow.appid == appid).values(fetching_until=0))


def drop_token(connection: Connection, appid: str, text: str) -> None:
    """WeChat does not take this token any more; a newer one stays."""
    same = (AccountRow.appid == appid, AccountRow.access_token == text)
    connection.execute(update(AccountRow).where(*same).values(token_until=0))


def may_push(connection: Connection, appid: str) -> bool:
    """Unless WeChat has said lately that the account may not."""
    until = connection.execute(select(AccountRow.no_push_until).where(AccountRow.appid == appid)).scalar()
    return until is None or until <= now_ms()


def forbid_push(connection: Connection, appid: str, milliseconds: int) -> bool:
    """WeChat says that the account may not push; False if that was known."""
    _ensure(connection, appid)
    now = now_ms()
    unknown = (AccountRow.appid == appid, AccountRow.no_push_until <= now)
    return (
        connection.execute(update(AccountRow).where(*unknown).values(no_push_until=now + milliseconds)).rowcount == 1
    )


def be_silent(connection: Connection, appid: str, limit: int) -> bool:
    """Whether one more delivery may be left unanswered now; if so, it is counted."""
    _ensure(connection, appid)
    # The account's row is the lock: one process counts at a time.
    connection.execute(select(AccountRow.appid).where(AccountRow.appid == appid).with_for_update())
    since = now_ms() - SILENCE_MS
    lately = select(func.count()).where(SilenceRow.appid == appid, SilenceRow.at > since)
    if connection.execute(lately).scalar_one() >= limit:
        return False
    connection.execute(delete(SilenceRow).where(SilenceRow.appid == appid, SilenceRow.at <= since))
    count_silence(connection, appid)
    return True


def count_silence(connection: Connection, appid: str) -> None:
    """A delivery is left unanswered, wanted or not: WeChat counts them all."""
    connection.execute(insert(SilenceRow).values(id=new_id(), appid=appid, at=now_ms()))


def silences(connection: Connection, appid: str) -> int:
    """How many deliveries were left unanswered on purpose in the last five minutes."""
    lately = select(func.count()).where(SilenceRow.appid == appid, SilenceRow.at > now_ms() - SILENCE_MS)
    return connection.execute(lately).scalar_one()


def record_media_check(
    connection: Connection, trace_id: str, openid: str, errcode: int, suggest: str, label: int
) -> None:
    """WeChat's verdict on a picture or a voice."""
    verdict = {"errcode": errcode, "suggest": suggest, "label": label}
    insert_if_absent(connection, MediaCheckRow, trace_id=trace_id, openid=openid, created_at=now_ms(), **verdict)


def media_check(connection: Connection, trace_id: str) -> Any | None:
    return connection.execute(select(MediaCheckRow.__table__).where(MediaCheckRow.trace_id == trace_id)).first()


def _ensure(connection: Connection, appid: str) -> None:
    known = select(AccountRow.appid).where(AccountRow.appid == appid)
    if connection.execute(known).first() is None:
        empty = {"access_token": "", "token_until": 0, "fetching_until": 0, "no_push_until": 0}
        insert_if_absent(connection, AccountRow, appid=appid, **empty)
