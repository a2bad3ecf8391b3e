"""People: identities, merging by UnionID, sessions. Each test runs on every kind of database."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select

from core.database import Database
from core.errors import QuotaExceeded, Unauthorized
from core.store import conversations, turns, users
from core.store.users import UNIONID
from core.tables import IdentityRow, SessionRow, UserRow, new_id
from tests.stores import ask, end, in_threads, make_user, quota_at, row, second_process

MINIPROGRAM, OFFICIAL = "wxmini", "wxofficial"


def how_many(database: Database, table: Any = UserRow) -> int:
    return database.read(lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one())


def sign_in(database: Database, openid: str, unionid: str | None = None, appid: str = MINIPROGRAM) -> int:
    return database.write(users.sign_in, appid, openid, unionid)


def set_user(database: Database, user_id: int, **values: Any) -> None:
    changed = UserRow.__table__.update().where(UserRow.__table__.c.id == user_id).values(**values)
    database.write(lambda connection: connection.execute(changed))


def owner(database: Database, appid: str, openid: str) -> int | None:
    return database.read(users._owner, appid, openid)


# ---- Identities


def test_an_identity_is_the_same_user_every_time(any_database: Database) -> None:
    first = sign_in(any_database, "one")
    assert sign_in(any_database, "one") == first
    assert sign_in(any_database, "two") != first
    assert sign_in(any_database, "one", appid=OFFICIAL) != first
    assert how_many(any_database) == 3
    assert any_database.read(users.get, first).id == first


@pytest.mark.parametrize("other", ["OPENID", "openíd", "openid_", "ｏpenid"])
def test_openids_that_differ_in_case_accent_or_width_are_different_people(any_database: Database, other: str) -> None:
    assert sign_in(any_database, "openid") != sign_in(any_database, other)


def test_the_first_sight_of_somebody_in_many_threads_makes_one_user(any_database: Database) -> None:
    with second_process(any_database) as second:
        works = [partial(sign_in, one, "new", "union") for one in (any_database, second) for _ in range(6)]
        results = in_threads(*works)
    assert len(set(results)) == 1, results
    assert how_many(any_database) == 1
    assert how_many(any_database, IdentityRow) == 2


def test_an_identity_too_long_to_be_stored_is_not_cut_short(any_database: Database) -> None:
    """SQLite stores it; the others refuse it. MySQL's INSERT IGNORE would store a part, and never find it again."""
    name = "o" * 200
    try:
        first = sign_in(any_database, name)
    except Exception as fault:
        assert "too long" in str(fault).lower()
        assert how_many(any_database) == 0
    else:
        assert sign_in(any_database, name) == first


def test_who_is_unknown_has_no_row(any_database: Database) -> None:
    with pytest.raises(Unauthorized):
        any_database.read(users.get, new_id())


# ---- UnionID


def test_a_unionid_known_from_the_start_makes_one_user_of_two_apps(any_database: Database) -> None:
    mini = sign_in(any_database, "m", "union")
    assert sign_in(any_database, "o", "union", OFFICIAL) == mini
    assert sign_in(any_database, "m") == mini
    assert how_many(any_database) == 1


def test_a_unionid_that_appears_later_merges_two_users(any_database: Database) -> None:
    mini, official = sign_in(any_database, "m"), sign_in(any_database, "o", appid=OFFICIAL)
    assert sign_in(any_database, "m", "union") == mini
    mine = ask(any_database, official, "公众号里问的", new_conversation=True)
    token, _ = any_database.write(users.open_session, official, 1)

    assert sign_in(any_database, "o", "union", OFFICIAL) == mini

    assert how_many(any_database) == 1
    assert [owner(any_database, *one) for one in ((MINIPROGRAM, "m"), (OFFICIAL, "o"), (UNIONID, "union"))] == [
        mini
    ] * 3
    assert row(any_database, mine).user_id == mini
    assert any_database.read(users.caller, token).user_id == mini
    [conversation] = any_database.read(conversations.page, mini, 10, None)
    assert conversation.id == mine.conversation_id
    assert ask(any_database, mini, conversation=mine.conversation_id).seq == 2
    with pytest.raises(Unauthorized):
        any_database.read(users.get, official)


def test_who_logs_in_twice_at_once_with_a_new_unionid_is_merged_once(any_database: Database) -> None:
    mini = sign_in(any_database, "m", "union")
    for _ in range(3):
        ask(any_database, sign_in(any_database, "o", appid=OFFICIAL), quota=quota_at())
    with second_process(any_database) as second:
        works = [partial(sign_in, one, "o", "union", OFFICIAL) for one in (any_database, second) for _ in range(4)]
        results = in_threads(*works)
    assert results == [mini] * 8
    assert how_many(any_database) == 1
    assert any_database.read(users.get, mini).day_count == 3


def test_a_merge_adds_up_what_the_same_windows_have_counted(any_database: Database) -> None:
    one, other = make_user(any_database), make_user(any_database)
    quota = quota_at(per_day=4, per_minute=4)
    for user in (one, one, other):
        ask(any_database, user, quota=quota)
    any_database.write(users.merge, one, other)
    merged = any_database.read(users.get, other)
    assert (merged.day_count, merged.minute_count) == (3, 3)
    ask(any_database, other, quota=quota)
    with pytest.raises(QuotaExceeded):
        ask(any_database, other, quota=quota)


@pytest.mark.parametrize("later_is_merged_away", [True, False])
def test_a_merge_keeps_the_count_of_the_later_window(any_database: Database, later_is_merged_away: bool) -> None:
    today, yesterday = make_user(any_database), make_user(any_database)
    for _ in range(2):
        ask(any_database, today, quota=quota_at(day=101, minute=2000))
    ask(any_database, yesterday, quota=quota_at(day=100, minute=1000))
    old, into = (today, yesterday) if later_is_merged_away else (yesterday, today)
    any_database.write(users.merge, old, into)
    merged = any_database.read(users.get, into)
    assert (merged.day, merged.day_count, merged.minute, merged.minute_count) == (101, 2, 2000, 2)


def test_a_failed_answer_gives_back_to_the_merged_user(any_database: Database) -> None:
    one, other = make_user(any_database), make_user(any_database)
    turn = ask(any_database, one, quota=quota_at(), writer=1)
    any_database.write(users.merge, one, other)
    end(any_database, turn, status="failed")
    assert any_database.read(users.get, other).day_count == 0


@pytest.mark.parametrize("blocked_is_merged_away", [True, False])
def test_a_block_and_a_quota_of_their_own_survive_a_merge(
    any_database: Database, blocked_is_merged_away: bool
) -> None:
    bad, good = make_user(any_database), make_user(any_database)
    set_user(any_database, bad, blocked="广告", per_day=7)
    old, into = (bad, good) if blocked_is_merged_away else (good, bad)
    any_database.write(users.merge, old, into)
    merged = any_database.read(users.get, into)
    assert (merged.blocked, merged.per_day) == ("广告", 7)


def test_turns_of_merged_users_with_the_same_request_key_are_both_kept(any_database: Database) -> None:
    one, other = make_user(any_database), make_user(any_database)
    same = {"request_key": "k", "request_hash": "h"}
    clash, kept = ask(any_database, one, **same), ask(any_database, other, **same)
    unique = ask(any_database, one, request_key="unique", request_hash="h")
    any_database.write(users.merge, one, other)
    assert row(any_database, clash).user_id == other and row(any_database, clash).request_key is None
    assert ask(any_database, other, **same).id == kept.id
    assert ask(any_database, other, request_key="unique", request_hash="h").id == unique.id


def test_a_user_who_was_merged_away_already_is_no_error(any_database: Database) -> None:
    one, other = make_user(any_database), make_user(any_database)
    for _ in range(2):
        any_database.write(users.merge, one, other)
    assert how_many(any_database) == 1


# ---- Sessions


def test_a_session_token_tells_who_calls(any_database: Database) -> None:
    user = make_user(any_database)
    token, seconds = any_database.write(users.open_session, user, 7)
    assert seconds == 7 * 86400
    assert any_database.read(users.caller, token) == users.Caller(user, None)
    set_user(any_database, user, blocked="广告")
    assert any_database.read(users.caller, token).blocked == "广告"


def test_a_token_that_is_unknown_revoked_or_expired_is_nobodys(any_database: Database) -> None:
    user = make_user(any_database)
    (revoked, _), (kept, _), (expired, _) = (
        any_database.write(users.open_session, user, days) for days in (1, 1, -1)
    )
    any_database.write(users.close_session, revoked)
    for token in ("unknown", revoked, expired, kept.swapcase(), kept + " "):
        with pytest.raises(Unauthorized):
            any_database.read(users.caller, token)
    assert any_database.read(users.caller, kept).user_id == user


def test_the_database_never_sees_a_token(any_database: Database) -> None:
    token, _ = any_database.write(users.open_session, make_user(any_database), 1)
    query = select(SessionRow.token_hash)
    [stored] = any_database.read(lambda connection: connection.execute(query).scalars().all())
    assert token not in stored and len(stored) == 64


def test_the_rows_of_turns_and_users_belong_together_after_a_merge(any_database: Database) -> None:
    one, other = make_user(any_database), make_user(any_database)
    turn = ask(any_database, one, new_conversation=True)
    any_database.write(users.merge, one, other)
    assert any_database.read(turns.get_of_user, turn.id, other).id == turn.id
