"""Users as staff see them."""

import pytest

from core.database import Database
from core.errors import NotFound, UserBlocked
from core.store import people, users
from core.store.users import Quota
from core.tables import time_of
from tests.stores import UNLIMITED, ask, end, make_user, quota_at


def found(database: Database, name: str) -> list[int]:
    return [person.id for person in database.read(people.search, name, UNLIMITED)]


def test_people_are_found_by_any_of_their_names_and_its_beginning(any_database: Database) -> None:
    zhang = make_user(any_database, "oA_zhang", unionid="uX_zhang")
    li = make_user(any_database, "oA_li")
    wang = make_user(any_database, "oB%wang")
    for name in ("oA_zhang", " uX_z ", str(zhang)):
        assert found(any_database, name) == [zhang]
    assert found(any_database, "oA_") == [li, zhang]
    assert found(any_database, "oA") == [li, zhang]
    assert found(any_database, "oa") == [], "openids tell upper case from lower case"
    assert found(any_database, "oB%") == [wang]
    assert found(any_database, "o%") == []
    assert found(any_database, "zhang") == []
    assert found(any_database, "99999999999999999999999") == []
    assert found(any_database, "") == [wang, li, zhang]


def test_a_person_comes_with_everything_staff_ask_about_them(any_database: Database) -> None:
    user = make_user(any_database, "oA", unionid="uX")
    quota = quota_at(per_day=5)
    first = ask(any_database, user, quota=quota, writer=1, new_conversation=True)
    end(any_database, first)
    last = ask(any_database, user, quota=quota, writer=1)
    person = any_database.read(people.get, user, quota)
    assert (person.turns, person.conversations, person.complaints, person.used_today) == (2, 1, 0, 2)
    assert person.identities == [("unionid", "uX"), ("wxapp", "oA")]
    assert person.last_seen == time_of(last.id)
    assert (person.blocked, person.per_day) == (None, None)
    with pytest.raises(NotFound):
        any_database.read(people.get, 1, quota)


def test_who_is_blocked_can_ask_nothing_until_they_are_unblocked(any_database: Database) -> None:
    user, other = make_user(any_database), make_user(any_database)
    any_database.write(people.block, user, "骚扰")
    with pytest.raises(UserBlocked):
        ask(any_database, user)
    assert ask(any_database, other)
    (person,) = any_database.read(people.blocked, UNLIMITED, 10)
    assert (person.id, person.blocked) == (user, "骚扰")
    any_database.write(people.unblock, user)
    any_database.write(people.unblock, user)
    assert ask(any_database, user)
    assert any_database.read(people.blocked, UNLIMITED, 10) == []
    with pytest.raises(NotFound):
        any_database.write(people.block, 1, "谁")


def test_a_quota_of_their_own_holds_until_it_is_taken_back(any_database: Database) -> None:
    user = make_user(any_database)
    any_database.write(people.set_per_day, user, 7)
    assert any_database.read(users.get, user).per_day == 7
    any_database.write(people.set_per_day, user, None)
    assert any_database.read(people.get, user, Quota(0, 0, "Asia/Shanghai")).per_day is None
