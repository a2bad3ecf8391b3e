"""A user's conversations: listed, read page by page, renamed, deleted. On every kind of database."""

from typing import Any

import pytest

from core.database import Database
from core.errors import NotFound
from core.store import conversations
from core.tables import ConversationRow, TurnRow, new_id
from tests.stores import ask, end, make_user, row

ME = 11


def change(database: Database, table: Any, row_id: int, **values: Any) -> None:
    changed = table.__table__.update().where(table.__table__.c.id == row_id).values(**values)
    database.write(lambda connection: connection.execute(changed))


def pages(database: Database, user: int, limit: int) -> list[list[int]]:
    """Ids page by page, as a client would ask for them."""
    found: list[list[int]] = []
    before = None
    while page := database.read(conversations.page, user, limit, before):
        found.append([one.id for one in page])
        before = (page[-1].updated_at, page[-1].id)
        assert len(found) < 50, "it has no end"
    return found


@pytest.fixture
def user(any_database: Database) -> int:
    return make_user(any_database)


def begin(database: Database, user: int, count: int = 1, updated_at: int | None = None) -> list[int]:
    made = [ask(database, user, f"问题{n}", new_conversation=True, writer=ME).conversation_id for n in range(count)]
    for number, conversation in enumerate(made):
        at = 1_000_000 + number if updated_at is None else updated_at
        change(database, ConversationRow, conversation, updated_at=at)
    return made


def test_conversations_come_latest_first_page_by_page(any_database: Database, user: int) -> None:
    made = begin(any_database, user, 7)
    begin(any_database, make_user(any_database), 2)
    newest_first = made[::-1]
    assert pages(any_database, user, 3) == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert pages(any_database, user, 7) == [newest_first]


def test_conversations_of_the_same_moment_are_neither_lost_nor_repeated(any_database: Database, user: int) -> None:
    made = begin(any_database, user, 7, updated_at=5)
    listed = pages(any_database, user, 2)
    assert [len(page) for page in listed] == [2, 2, 2, 1]
    assert [one for page in listed for one in page] == sorted(made, reverse=True)


def test_a_question_moves_its_conversation_to_the_top(any_database: Database, user: int) -> None:
    first, second = begin(any_database, user, 2)
    assert pages(any_database, user, 5) == [[second, first]]
    ask(any_database, user, conversation=first)
    assert pages(any_database, user, 5) == [[first, second]]


def test_the_latest_conversation_is_that_of_the_channel_and_not_too_old(any_database: Database, user: int) -> None:
    first, second, third = begin(any_database, user, 3)
    change(any_database, ConversationRow, third, channel="official")

    def latest(channel: str, since: int) -> int | None:
        return any_database.read(conversations.latest, user, channel, since)

    assert latest("miniprogram", 1_000_001) == second
    assert latest("miniprogram", 1_000_002) is None
    assert latest("official", 0) == third
    any_database.write(conversations.remove, user, second)
    assert latest("miniprogram", 0) == first
    assert any_database.read(conversations.latest, make_user(any_database), "miniprogram", 0) is None


def test_turns_are_read_backwards_and_shown_oldest_first(any_database: Database, user: int) -> None:
    [conversation] = begin(any_database, user)
    made = [ask(any_database, user, str(n), conversation=conversation, writer=ME) for n in range(2, 7)]
    for turn in made:
        end(any_database, turn)
    change(any_database, TurnRow, made[2].id, superseded=True)

    def page(limit: int, before: int | None = None) -> list[int]:
        return [one.seq for one in any_database.read(conversations.turns, user, conversation, limit, before)]

    assert page(10) == [1, 2, 3, 5, 6]  # 4 was replaced by a newer answer
    assert page(2) == [5, 6]
    assert page(2, 5) == [2, 3]
    assert page(2, 2) == [1]
    assert page(2, 1) == []


def test_a_title_may_be_anything_and_is_changed_for_its_owner_alone(any_database: Database, user: int) -> None:
    one, other = begin(any_database, user, 2)
    any_database.write(conversations.rename, user, one, "标题 👍𠮷")
    any_database.write(conversations.rename, user, one, "标题 👍𠮷")  # nothing changes, and that is no error
    titles = {row.id: row.title for row in any_database.read(conversations.page, user, 5, None)}
    assert titles == {one: "标题 👍𠮷", other: "问题1"}


def test_a_deleted_conversation_is_gone_for_its_user_while_the_log_keeps_it(
    any_database: Database, user: int
) -> None:
    gone, kept = begin(any_database, user, 2)
    turn = ask(any_database, user, conversation=gone)
    any_database.write(conversations.remove, user, gone)
    assert pages(any_database, user, 5) == [[kept]]
    with pytest.raises(NotFound):
        any_database.read(conversations.turns, user, gone, 5, None)
    with pytest.raises(NotFound):
        any_database.write(conversations.remove, user, gone)
    assert row(any_database, turn).question == "你好"


def test_all_conversations_of_one_user_are_deleted_and_none_of_another(any_database: Database, user: int) -> None:
    begin(any_database, user, 3)
    stranger = make_user(any_database)
    theirs = begin(any_database, stranger, 1)
    any_database.write(conversations.remove_all, user)
    assert pages(any_database, user, 5) == []
    assert pages(any_database, stranger, 5) == [theirs]


def test_what_belongs_to_somebody_else_does_not_exist(any_database: Database, user: int) -> None:
    [theirs] = begin(any_database, make_user(any_database))
    for conversation in (theirs, new_id()):
        with pytest.raises(NotFound):
            any_database.read(conversations.turns, user, conversation, 5, None)
        with pytest.raises(NotFound):
            any_database.write(conversations.rename, user, conversation, "mine")
        with pytest.raises(NotFound):
            any_database.write(conversations.remove, user, conversation)


def test_open_turns_are_those_that_wait_or_are_being_written(any_database: Database, user: int) -> None:
    [one, other] = begin(any_database, user, 2)
    waiting = ask(any_database, user, conversation=one)
    of_one = any_database.read(conversations.open_turns, user, one)
    assert waiting.id in of_one and len(of_one) == 2
    assert len(any_database.read(conversations.open_turns, user)) == 3
    ended = ask(any_database, user, writer=ME)
    end(any_database, ended)
    assert ended.id not in any_database.read(conversations.open_turns, user)
    assert any_database.read(conversations.open_turns, make_user(any_database)) == []
    assert any_database.read(conversations.open_turns, user, other) != of_one
