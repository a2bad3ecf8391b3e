"""Turns: accepted, claimed, saved, finished, put back, read again. Each test runs on every kind of database."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import pytest

from core.database import Database
from core.errors import Busy, Conflict, NotFound, QuotaExceeded, Unauthorized, UserBlocked
from core.messages import Turn
from core.store import conversations, processes, turns, users, writing
from core.store.turns import MAX_WAITING, Options
from core.store.users import Quota
from core.store.writing import Outcome, Progress
from core.tables import TurnRow, UserRow, new_id
from tests.stores import ask, end, in_threads, make_user, quota_at, row, second_process

ME, OTHER = 11, 22  # processes

# A character of four bytes, one of many code points, combining marks, direction marks, the last of all planes.
ODD = "𠮷👩‍👩‍👧‍👦🇨🇳 é ‏עברית‎ \U0010ffff \t\r\n'\"\\%_;--]]>"


def count(database: Database) -> int:
    return len(database.read(lambda connection: connection.execute(TurnRow.__table__.select()).all()))


def set_user(database: Database, user_id: int, **values: Any) -> None:
    changed = UserRow.__table__.update().where(UserRow.__table__.c.id == user_id).values(**values)
    database.write(lambda connection: connection.execute(changed))


def used(database: Database, user_id: int) -> tuple[int, int]:
    user = database.read(users.get, user_id)
    return user.day_count, user.minute_count


# ---- Accepting


def test_an_accepted_question_is_stored_whole(any_database: Database) -> None:
    user = make_user(any_database)
    hits = [{"word": "暴力", "action": "mask", "in": "question"}]
    context = [{"role": "user", "content": ODD}]
    turn = ask(
        any_database,
        user,
        f"{ODD} 第一行\n第二行",
        new_conversation=True,
        quota=quota_at(),
        hits=hits,
        context=context,
        request_key="k",
        request_hash="h",
    )
    stored = row(any_database, turn)
    assert stored._asdict() == vars(turn)
    assert stored.question == f"{ODD} 第一行\n第二行"
    assert (stored.status, stored.writer, stored.attempt, stored.seq) == ("queued", None, 0, 1)
    assert (orjson.loads(stored.hits), orjson.loads(stored.context)) == (hits, context)
    assert Options.loads(stored.options) == Options(500, False)
    assert (stored.counted_day, stored.counted_minute) == (738_000, 29_000_000)


def test_a_question_that_need_not_wait_belongs_to_its_writer_from_the_first_moment(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database), new_conversation=True, writer=ME)
    stored = row(any_database, turn)
    assert (stored.status, stored.writer, stored.attempt) == ("answering", ME, 1)


def test_a_conversation_is_titled_with_the_first_line_of_its_first_question(any_database: Database) -> None:
    user = make_user(any_database)
    ask(any_database, user, f"  短 {ODD[:1]}\n第二行", new_conversation=True)
    ask(any_database, user, "长" * 31, new_conversation=True)
    titles = [one.title for one in any_database.read(conversations.page, user, 10, None)]
    assert set(titles) == {f"短 {ODD[:1]}", "长" * 29 + "…"}


def test_questions_of_a_conversation_are_numbered_from_one_without_gaps(any_database: Database) -> None:
    user = make_user(any_database)
    first = ask(any_database, user, new_conversation=True)
    numbers = [ask(any_database, user, conversation=first.conversation_id).seq for _ in range(3)]
    assert [first.seq, *numbers] == [1, 2, 3, 4]


def test_questions_asked_at_the_same_time_get_different_numbers(any_database: Database) -> None:
    user = make_user(any_database)
    first = ask(any_database, user, new_conversation=True, writer=ME)
    with second_process(any_database) as other:
        again = partial(ask, user_id=user, conversation=first.conversation_id)
        results = in_threads(*[partial(again, any_database)] * 3, *[partial(again, other)] * 2)
    assert sorted(turn.seq for turn in results) == [2, 3, 4, 5, 6]


def test_a_question_waits_while_its_conversation_is_being_answered_and_no_other_does(any_database: Database) -> None:
    user = make_user(any_database)
    first = ask(any_database, user, new_conversation=True, writer=ME)
    second = ask(any_database, user, conversation=first.conversation_id, writer=ME)
    elsewhere = ask(any_database, user, new_conversation=True, writer=ME)
    nowhere = ask(any_database, user, writer=ME)
    assert [one.status for one in (first, second, elsewhere, nowhere)] == [
        "answering",
        "queued",
        "answering",
        "answering",
    ]
    assert second.writer is None and second.attempt == 0


def test_a_question_waits_where_nobody_has_room_for_it(any_database: Database) -> None:
    assert ask(any_database, make_user(any_database), new_conversation=True, writer=None).status == "queued"


def test_five_questions_of_a_user_may_wait_and_no_sixth(any_database: Database) -> None:
    user, quota = make_user(any_database), quota_at(per_day=100)
    waiting = [ask(any_database, user, new_conversation=True, quota=quota) for _ in range(MAX_WAITING)]
    with pytest.raises(Busy):
        ask(any_database, user, new_conversation=True, quota=quota)
    assert used(any_database, user)[0] == MAX_WAITING  # the refused one was not counted
    assert len(any_database.read(conversations.page, user, 10, None)) == MAX_WAITING
    assert ask(any_database, user, new_conversation=True, writer=ME).status == "answering"  # it would not wait
    assert ask(any_database, make_user(any_database), new_conversation=True).status == "queued"
    any_database.write(writing.end_queued, waiting[0].id, 0, "stopped", None)
    assert ask(any_database, user, new_conversation=True, quota=quota).status == "queued"


def test_of_many_questions_at_once_no_more_wait_than_may(any_database: Database) -> None:
    user = make_user(any_database)
    with second_process(any_database) as other:
        results = in_threads(*[partial(ask, any_database, user)] * 5, *[partial(ask, other, user)] * 5)
    assert sum(isinstance(one, Busy) for one in results) == 5
    assert count(any_database) == MAX_WAITING


def test_who_does_not_exist_or_is_blocked_may_not_ask(any_database: Database) -> None:
    with pytest.raises(Unauthorized):
        ask(any_database, new_id())
    user = make_user(any_database)
    set_user(any_database, user, blocked="广告")
    with pytest.raises(UserBlocked):
        ask(any_database, user)
    assert count(any_database) == 0


def test_a_conversation_of_somebody_else_or_a_deleted_one_does_not_exist(any_database: Database) -> None:
    mine, theirs = make_user(any_database), make_user(any_database)
    conversation = ask(any_database, theirs, new_conversation=True).conversation_id
    for unknown in (conversation, new_id()):
        with pytest.raises(NotFound):
            ask(any_database, mine, conversation=unknown)
    any_database.write(conversations.remove, theirs, conversation)
    with pytest.raises(NotFound):
        ask(any_database, theirs, conversation=conversation)
    assert count(any_database) == 1
    assert used(any_database, mine) == (0, 0)


# ---- The same request again


def test_the_same_request_key_again_is_the_same_turn_and_costs_nothing(any_database: Database) -> None:
    user, quota = make_user(any_database), quota_at(per_day=1)
    key = {"request_key": "k", "request_hash": "h"}
    first = ask(any_database, user, new_conversation=True, quota=quota, **key)
    again = ask(any_database, user, new_conversation=True, quota=quota, **key)
    assert again.id == first.id
    assert count(any_database) == 1
    assert len(any_database.read(conversations.page, user, 10, None)) == 1
    assert used(any_database, user) == (1, 1)


def test_twenty_requests_with_one_key_at_the_same_time_make_one_turn(any_database: Database) -> None:
    user = make_user(any_database)
    again = partial(ask, user_id=user, new_conversation=True, request_key="k", request_hash="h", writer=ME)
    with second_process(any_database) as other:
        results = in_threads(*[partial(again, any_database)] * 10, *[partial(again, other)] * 10)
    assert len({turn.id for turn in results}) == 1
    assert count(any_database) == 1
    assert used(any_database, user) == (1, 1)


def test_the_same_key_with_another_body_is_a_conflict(any_database: Database) -> None:
    user = make_user(any_database)
    ask(any_database, user, request_key="k", request_hash="h")
    with pytest.raises(Conflict):
        ask(any_database, user, request_key="k", request_hash="other")
    assert count(any_database) == 1


def test_a_key_of_one_user_is_nothing_to_another(any_database: Database) -> None:
    one, other = (ask(any_database, make_user(any_database), request_key="k", request_hash="h") for _ in range(2))
    assert one.id != other.id


@pytest.mark.parametrize("other", ["KEY-é", "key-e", "key-É", "ｋey-é", "key-é!"])
def test_keys_that_differ_in_case_accent_or_width_are_different(any_database: Database, other: str) -> None:
    user = make_user(any_database)
    first = ask(any_database, user, request_key="key-é", request_hash="h")
    assert ask(any_database, user, request_key=other, request_hash="h").id != first.id
    assert ask(any_database, user, request_key="key-é", request_hash="h").id == first.id


def test_a_blocked_user_still_finds_the_turn_of_an_earlier_request(any_database: Database) -> None:
    user = make_user(any_database)
    first = ask(any_database, user, request_key="k", request_hash="h")
    set_user(any_database, user, blocked="广告")
    assert ask(any_database, user, request_key="k", request_hash="h").id == first.id


# ---- Quota


def test_the_day_has_exactly_as_many_questions_as_it_says(any_database: Database) -> None:
    user, quota = make_user(any_database), quota_at(per_day=3)
    for _ in range(3):
        ask(any_database, user, quota=quota)
    with pytest.raises(QuotaExceeded) as refused:
        ask(any_database, user, quota=quota)
    assert (refused.value.window, refused.value.limit) == ("day", 3)
    assert 1 <= refused.value.retry_after <= 25 * 3600
    assert count(any_database) == 3
    ask(any_database, user, quota=quota_at(per_day=3, day=quota.day + 1))  # tomorrow
    assert used(any_database, user)[0] == 1


def test_the_minute_has_exactly_as_many_questions_as_it_says(any_database: Database) -> None:
    user, quota = make_user(any_database), quota_at(per_minute=2)
    ask(any_database, user, quota=quota)
    ask(any_database, user, quota=quota)
    with pytest.raises(QuotaExceeded) as refused:
        ask(any_database, user, quota=quota)
    assert (refused.value.window, refused.value.limit) == ("minute", 2)
    assert 1 <= refused.value.retry_after <= 60
    ask(any_database, user, quota=quota_at(per_minute=2, minute=quota.minute + 1))
    assert used(any_database, user) == (3, 1)  # the day goes on


def test_of_many_questions_at_once_in_two_processes_exactly_the_quota_passes(any_database: Database) -> None:
    user, quota = make_user(any_database), quota_at(per_minute=4)
    with second_process(any_database) as other:
        works = [partial(ask, one, user, quota=quota, writer=ME) for one in (any_database, other) for _ in range(8)]
        results = in_threads(*works)
    assert sum(isinstance(one, QuotaExceeded) for one in results) == 12
    assert count(any_database) == 4
    assert used(any_database, user) == (4, 4)


def test_zero_is_no_limit(any_database: Database) -> None:
    user = make_user(any_database)
    for _ in range(30):
        ask(any_database, user, quota=quota_at(), writer=ME)
    assert used(any_database, user) == (30, 30)


def test_a_user_may_have_a_quota_of_their_own(any_database: Database) -> None:
    generous, strict, free = (make_user(any_database) for _ in range(3))
    for user, per_day in ((generous, 3), (strict, 1), (free, 0)):
        set_user(any_database, user, per_day=per_day)
    quota = quota_at(per_day=2)
    for user, allowed in ((generous, 3), (strict, 1)):
        for _ in range(allowed):
            ask(any_database, user, quota=quota)
        with pytest.raises(QuotaExceeded) as refused:
            ask(any_database, user, quota=quota)
        assert refused.value.limit == allowed
    for _ in range(4):
        ask(any_database, free, quota=quota)


def test_a_machine_whose_clock_is_a_little_ahead_opens_no_window_twice(any_database: Database) -> None:
    user = make_user(any_database)
    ahead = quota_at(per_minute=2, minute=1001)
    behind = quota_at(per_minute=2, minute=1000)
    ask(any_database, user, quota=ahead)
    ask(any_database, user, quota=behind)
    for quota in (ahead, behind):
        with pytest.raises(QuotaExceeded):
            ask(any_database, user, quota=quota)
    ask(any_database, user, quota=quota_at(per_minute=2, minute=1002))


def test_a_machine_that_is_a_day_ahead_opens_no_day_twice(any_database: Database) -> None:
    user = make_user(any_database)
    tomorrow, today = quota_at(per_day=2, day=101), quota_at(per_day=2, day=100)
    ask(any_database, user, quota=tomorrow)
    ask(any_database, user, quota=today)
    for quota in (tomorrow, today):
        with pytest.raises(QuotaExceeded):
            ask(any_database, user, quota=quota)


def test_a_clock_that_was_far_ahead_and_is_set_back_locks_nobody_out(any_database: Database) -> None:
    user = make_user(any_database)
    ask(any_database, user, quota=quota_at(per_minute=1, per_day=1, minute=9999, day=999))
    ask(any_database, user, quota=quota_at(per_minute=1, per_day=1, minute=1000, day=100))
    with pytest.raises(QuotaExceeded):
        ask(any_database, user, quota=quota_at(per_minute=1, minute=1000, day=100))


def test_days_and_minutes_are_those_of_the_configured_timezone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noon(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 11, 22, 17, 30, tzinfo=UTC).astimezone(tz)

    monkeypatch.setattr(users, "datetime", Noon)
    shanghai, new_york = Quota(0, 0, "Asia/Shanghai"), Quota(0, 0, "America/New_York")
    assert shanghai.windows()[0] == datetime(2026, 11, 23).toordinal()
    assert new_york.windows()[0] == datetime(2026, 11, 22).toordinal()
    assert shanghai.resets_at().isoformat() == "2026-11-24T00:00:00+08:00"
    assert new_york.resets_at().isoformat() == "2026-11-23T00:00:00-05:00"


def test_a_failed_answer_gives_its_question_back(any_database: Database) -> None:
    user, quota = make_user(any_database), quota_at(per_day=1, per_minute=1)
    turn = ask(any_database, user, quota=quota, writer=ME)
    assert end(any_database, turn, status="failed", code="model_error")
    assert used(any_database, user) == (0, 0)
    ask(any_database, user, quota=quota)
    late = ask(any_database, make_user(any_database), quota=quota)
    assert any_database.write(writing.end_queued, late.id, 0, "failed", "busy")
    assert used(any_database, late.user_id) == (0, 0)


def test_what_was_counted_yesterday_is_not_given_back_today(any_database: Database) -> None:
    user = make_user(any_database)
    yesterday = ask(any_database, user, quota=quota_at(day=100, minute=1000), writer=ME)
    ask(any_database, user, quota=quota_at(day=101, minute=2000))
    end(any_database, yesterday, status="failed")
    assert used(any_database, user) == (1, 1)


@pytest.mark.parametrize("status", ["done", "stopped", "blocked"])
def test_an_answer_that_did_not_fail_costs_its_question(any_database: Database, status: turns.Status) -> None:
    turn = ask(any_database, make_user(any_database), quota=quota_at(), writer=ME)
    end(any_database, turn, status=status)
    assert used(any_database, turn.user_id) == (1, 1)


# ---- Claiming


def test_of_many_who_claim_a_turn_one_gets_it(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database))
    with second_process(any_database) as other:
        works = [
            partial(database.write, writing.claim, turn.id, 0, 100 * number + thread)
            for number, database in enumerate((any_database, other))
            for thread in range(6)
        ]
        results = in_threads(*works)
    [winner] = [claimed for claimed in results if claimed is not None]
    stored = row(any_database, turn)
    assert (stored.status, stored.writer, stored.attempt) == ("answering", winner.writer, 1)
    assert winner == stored


def test_a_claim_carries_the_attempt_it_has_seen(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database))
    assert any_database.write(writing.claim, turn.id, 1, ME) is None
    assert any_database.write(writing.claim, turn.id, 0, ME).attempt == 1
    any_database.write(writing.release, ME)
    assert any_database.write(writing.claim, turn.id, 0, OTHER) is None
    assert any_database.write(writing.claim, turn.id, 1, OTHER).attempt == 2


def test_a_claim_begins_the_answer_anew(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database), writer=ME)
    any_database.write(writing.save, ME, [Progress(turn.id, 1, "半个", "想")])
    any_database.write(writing.release, ME)
    before = row(any_database, turn)
    assert (before.status, before.answer) == ("queued", "半个")  # readers keep it until somebody begins anew
    claimed = any_database.write(writing.claim, turn.id, 1, OTHER)
    assert (claimed.answer, claimed.reasoning) == ("", "")
    assert claimed.version > before.version


def test_a_conversation_is_claimed_in_order_and_the_oldest_first(any_database: Database) -> None:
    user, other = make_user(any_database), make_user(any_database)
    first = ask(any_database, user, new_conversation=True)
    second = ask(any_database, user, conversation=first.conversation_id)
    alone = ask(any_database, user)
    elsewhere = ask(any_database, other, new_conversation=True)

    def claimable(limit: int = 10) -> list[int]:
        return [one.id for one in any_database.read(writing.claimable, limit)]

    assert sorted(claimable()) == sorted([first.id, alone.id, elsewhere.id])
    assert claimable() == sorted(claimable())
    assert claimable(1) == claimable()[:1]
    assert any_database.read(writing.count_queued) == 4
    claimed = any_database.write(writing.claim, first.id, 0, ME)
    assert second.id not in claimable()
    end(any_database, claimed)
    assert second.id in claimable()


def test_a_turn_in_the_queue_is_claimable_with_the_attempt_it_has(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database), writer=ME)
    any_database.write(writing.release, ME)
    [waiting] = any_database.read(writing.claimable, 10)
    assert (waiting.id, waiting.attempt, waiting.channel) == (turn.id, 1, "miniprogram")


# ---- Saving and finishing


def test_progress_is_saved_for_all_at_once_and_told_as_news(any_database: Database) -> None:
    mine = [ask(any_database, make_user(any_database), writer=ME) for _ in range(3)]
    batch = [Progress(turn.id, 1, f"{ODD}{number}", "想") for number, turn in enumerate(mine)]
    assert any_database.write(writing.save, ME, batch) == set()
    for number, turn in enumerate(mine):
        stored = row(any_database, turn)
        assert (stored.answer, stored.reasoning, stored.version) == (f"{ODD}{number}", "想", 1)


def test_progress_of_a_turn_that_is_not_ours_any_more_is_not_saved(any_database: Database) -> None:
    ours, taken, newer, ended = (ask(any_database, make_user(any_database), writer=ME) for _ in range(4))
    for turn in (taken, newer):
        any_database.write(
            lambda c, turn=turn: c.execute(
                TurnRow.__table__.update()
                .where(TurnRow.__table__.c.id == turn.id)
                .values(status="queued", writer=None)
            )
        )
    any_database.write(writing.claim, taken.id, 1, OTHER)
    any_database.write(writing.claim, newer.id, 1, ME)
    end(any_database, ended, "完")
    batch = [Progress(turn.id, 1, "旧", "") for turn in (ours, taken, newer, ended)]
    assert any_database.write(writing.save, ME, batch) == {taken.id, newer.id, ended.id}
    assert [row(any_database, turn).answer for turn in (ours, taken, newer, ended)] == ["旧", "", "", "完"]


def test_a_text_that_did_not_change_is_not_taken_for_lost(any_database: Database) -> None:
    """MySQL reports changed rows, not found ones, unless asked."""
    turn = ask(any_database, make_user(any_database), writer=ME)
    for _ in range(2):
        assert any_database.write(writing.save, ME, [Progress(turn.id, 1, "一样", "")]) == set()


def test_long_texts_come_back_whole(any_database: Database) -> None:
    """MySQL's TEXT ends at 64 KB, and what is longer is an error or cut."""
    long = "龘👍" * 43_000  # 300 KB
    user = make_user(any_database)
    turn = ask(any_database, user, long, writer=ME, context=[{"role": "user", "content": long}])
    assert any_database.write(writing.save, ME, [Progress(turn.id, 1, long, long)]) == set()
    assert row(any_database, turn).answer == long
    hits = [{"word": "暴力", "action": "mask", "start": n, "end": n + 2, "in": "answer"} for n in range(2000)]
    outcome = Outcome("done", long + "!", long, hits=hits)
    assert any_database.write(writing.finish, turn.id, ME, 1, outcome)
    stored = row(any_database, turn)
    assert (stored.question, stored.answer, stored.reasoning) == (long, long + "!", long)
    assert orjson.loads(stored.context)[0]["content"] == long
    assert orjson.loads(stored.hits) == hits


def test_a_finished_turn_knows_everything_of_its_answer(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database), writer=ME)
    hits = [{"word": "暴力", "in": "answer"}]
    known = {
        "code": None,
        "finish_reason": "stop",
        "prompt_version": 3,
        "model": "cogito",
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "first_token_ms": 30,
        "duration_ms": 40,
    }
    outcome = Outcome("done", ODD, "想", hits=hits, **known)
    assert any_database.write(writing.finish, turn.id, ME, 1, outcome)
    stored = row(any_database, turn)
    assert {key: getattr(stored, key) for key in known} == known
    assert (stored.status, stored.answer, stored.reasoning, stored.attempt) == ("done", ODD, "想", 1)
    assert stored.finished_at >= stored.created_at
    assert stored.version == 1
    assert orjson.loads(stored.hits) == hits


def test_only_the_writer_of_the_attempt_finishes_a_turn_and_only_once(any_database: Database) -> None:
    user = make_user(any_database)
    turn = ask(any_database, user, writer=ME, quota=quota_at())
    failed = Outcome("failed", "x", "")
    for writer, attempt in ((OTHER, 1), (ME, 0), (ME, 2)):
        assert not any_database.write(writing.finish, turn.id, writer, attempt, failed)
    assert row(any_database, turn)._asdict() == vars(turn)
    assert end(any_database, turn, "好")
    assert not any_database.write(writing.finish, turn.id, ME, 1, failed)
    assert row(any_database, turn).answer == "好"
    assert used(any_database, user) == (1, 1)  # nothing was given back


def test_a_paused_process_that_comes_back_changes_nothing(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database), writer=ME)
    any_database.write(writing.release, ME)  # it was taken for dead
    mine_again = any_database.write(writing.claim, turn.id, 1, OTHER)
    end(any_database, mine_again, "别人的回答")
    assert any_database.write(writing.save, ME, [Progress(turn.id, 1, "旧", "")]) == {turn.id}
    assert not any_database.write(writing.finish, turn.id, ME, 1, Outcome("done", "旧", ""))
    assert row(any_database, turn).answer == "别人的回答"


def test_a_replaced_text_counts_as_another_attempt(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database), writer=ME)
    end(any_database, turn, "换了", replaced=True)
    assert row(any_database, turn).attempt == 2


# ---- Stopping, putting back


def test_a_waiting_turn_is_ended_by_whoever_is_faster(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database))
    with second_process(any_database) as other:
        ended, claimed = in_threads(
            partial(any_database.write, writing.end_queued, turn.id, 0, "stopped", None),
            partial(other.write, writing.claim, turn.id, 0, ME),
        )
    assert ended != bool(claimed)
    assert row(any_database, turn).status == ("stopped" if ended else "answering")


def test_a_stop_request_reaches_the_writer_of_the_turn_alone(any_database: Database) -> None:
    mine, theirs = (ask(any_database, make_user(any_database), writer=writer) for writer in (ME, OTHER))
    for turn in (mine, theirs):
        any_database.write(writing.request_stop, turn.id)
    assert any_database.read(writing.stops_requested, ME) == [mine.id]
    end(any_database, mine, status="stopped")
    assert any_database.read(writing.stops_requested, ME) == []
    any_database.write(writing.request_stop, mine.id)
    assert row(any_database, mine).status == "stopped"  # too late, and no harm


def test_a_stop_request_survives_the_death_of_the_writer(any_database: Database) -> None:
    turn = ask(any_database, make_user(any_database), writer=ME)
    any_database.write(writing.request_stop, turn.id)
    any_database.write(writing.release, ME)
    assert any_database.write(writing.claim, turn.id, 1, OTHER).stop_requested


def test_a_process_puts_back_what_it_was_writing_and_nothing_else(any_database: Database) -> None:
    mine, theirs, ended = (ask(any_database, make_user(any_database), writer=who) for who in (ME, OTHER, ME))
    end(any_database, ended)
    assert any_database.write(writing.release, ME) == 1
    stored = row(any_database, mine)
    assert (stored.status, stored.writer, stored.attempt) == ("queued", None, 1)
    assert row(any_database, theirs).status == "answering"
    assert row(any_database, ended).status == "done"
    assert any_database.write(writing.release, ME) == 0


def test_turns_whose_writer_left_no_trace_go_back_into_the_queue(any_database: Database) -> None:
    any_database.write(processes.register, ME, "host", 1, "now")
    living, orphan = (ask(any_database, make_user(any_database), writer=who) for who in (ME, OTHER))
    assert any_database.write(writing.requeue_orphans) == 1
    assert row(any_database, living).status == "answering"
    assert (row(any_database, orphan).status, row(any_database, orphan).writer) == ("queued", None)


def test_only_what_has_moved_is_fetched(any_database: Database) -> None:
    still, saved, claimed, ended = (ask(any_database, make_user(any_database), writer=ME) for _ in range(4))
    known = {turn.id: (turn.attempt, turn.version, turn.status) for turn in (still, saved, claimed, ended)}
    assert any_database.read(writing.moved, known) == ()
    any_database.write(writing.save, ME, [Progress(saved.id, 1, "新", "")])
    end(any_database, ended)
    assert {one.id for one in any_database.read(writing.moved, known)} == {saved.id, ended.id}
    [news] = any_database.read(writing.moved, {saved.id: known[saved.id]})
    assert news == row(any_database, saved)


# ---- Reading


def test_history_is_what_was_answered_before_oldest_first(any_database: Database) -> None:
    user = make_user(any_database)
    first = ask(any_database, user, "一", new_conversation=True, writer=ME)
    conversation = first.conversation_id
    end(any_database, first, "1")
    statuses: list[turns.Status] = ["failed", "blocked", "stopped", "done", "stopped"]
    for number, status in enumerate(statuses, 2):
        turn = ask(any_database, user, f"问{number}", conversation=conversation, writer=ME)
        end(
            any_database, turn, "" if number == 6 else str(number), status=status
        )  # one stopped before its first word
    hidden = ask(any_database, user, "旧", conversation=conversation, writer=ME)
    end(any_database, hidden, "旧的回答")
    superseded = TurnRow.__table__.update().where(TurnRow.__table__.c.id == hidden.id).values(superseded=True)
    any_database.write(lambda connection: connection.execute(superseded))
    now = ask(any_database, user, "现在", conversation=conversation, writer=ME)
    stranger = ask(any_database, user, "另一个", new_conversation=True, writer=ME)
    end(any_database, stranger)

    expected = [Turn("一", "1"), Turn("问4", "4"), Turn("问5", "5")]
    assert any_database.read(turns.history, conversation, now.seq, 10) == expected
    assert any_database.read(turns.history, conversation, now.seq, 2) == expected[1:]
    assert any_database.read(turns.history, conversation, 5, 10) == expected[:2]
    assert any_database.read(turns.history, conversation, now.seq, 0) == []


def test_a_turn_is_shown_to_its_user_and_to_nobody_else(any_database: Database) -> None:
    user = make_user(any_database)
    turn = ask(any_database, user, new_conversation=True)
    alone = ask(any_database, user)
    assert any_database.read(turns.get_of_user, turn.id, user) == row(any_database, turn)
    assert any_database.read(turns.get_of_user, alone.id, user).id == alone.id
    for turn_id, who in ((turn.id, make_user(any_database)), (new_id(), user)):
        with pytest.raises(NotFound):
            any_database.read(turns.get_of_user, turn_id, who)
    any_database.write(conversations.remove, user, turn.conversation_id)
    with pytest.raises(NotFound):
        any_database.read(turns.get_of_user, turn.id, user)
    assert row(any_database, turn).id == turn.id  # the log keeps it
    with pytest.raises(NotFound):
        any_database.read(turns.get, new_id())


def test_the_writing_speed_is_learnt_from_the_latest_whole_answers(any_database: Database) -> None:
    for number in range(25):
        turn = ask(any_database, make_user(any_database), writer=ME)
        timing = {} if number == 24 else {"first_token_ms": 5, "duration_ms": 100 + number}
        end(any_database, turn, status="failed" if number == 23 else "done", **timing)
    latest = any_database.read(turns.recent_speed, 20)
    assert [one.duration_ms for one in latest] == list(range(122, 102, -1))
