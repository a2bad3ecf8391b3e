"""Staff accounts, their sessions, and the log of what they did. On every kind of database."""

from functools import partial

import pytest
from sqlalchemy.exc import IntegrityError

from core.database import Database
from core.errors import Conflict, LastAdmin, NotFound, Unauthorized
from core.store import staff
from core.store.upsert import insert_if_absent
from core.tables import StaffSessionRow
from tests.stores import in_threads, second_process


def make(database: Database, name: str = "张三", role: str = "editor") -> int:
    database.write(staff.add, name, "hash", role)
    return int(database.read(staff.get, name).id)


def test_an_account_is_found_by_its_name(any_database: Database) -> None:
    assert any_database.read(staff.get, "张三") is None
    make(any_database)
    account = any_database.read(staff.get, "张三")
    assert (account.name, account.password_hash, account.role) == ("张三", "hash", "editor")
    make(any_database, "Anna", "admin")
    assert {one.name for one in any_database.read(staff.everyone)} == {"张三", "Anna"}


def test_a_name_is_given_once(any_database: Database) -> None:
    make(any_database)
    with pytest.raises(Conflict):
        any_database.write(staff.add, "张三", "another", "admin")
    assert any_database.read(staff.get, "张三").password_hash == "hash"
    with second_process(any_database) as other:
        add = partial(partial, name="new", password_hash="x", role="viewer")
        results = in_threads(*[add(one.write, staff.add) for one in (any_database, other) for _ in range(3)])
    assert sum(isinstance(one, Conflict) for one in results) == 5
    assert results.count(None) == 1


@pytest.mark.parametrize("other", ["admin", "ADMIN", "Ädmin", "Ａdmin"])
def test_names_that_differ_in_case_accent_or_width_are_different_people(any_database: Database, other: str) -> None:
    make(any_database, "Admin")
    assert any_database.read(staff.get, other) is None
    make(any_database, other)


def test_a_session_ends_with_its_time_its_log_out_the_password_or_the_account(any_database: Database) -> None:
    account = make(any_database)

    def opened(seconds: int = 60) -> str:
        token = any_database.write(staff.open_session, account, seconds)
        assert seconds < 0 or any_database.read(staff.by_session, token).id == account
        return token

    def ended(token: str) -> bool:
        try:
            any_database.read(staff.by_session, token)
        except Unauthorized:
            return True
        return False

    expired, logged_out, kept = opened(-1), opened(), opened()
    any_database.write(staff.close_session, logged_out)
    assert [ended(token) for token in (expired, logged_out, kept, "unknown")] == [True, True, False, True]
    any_database.write(staff.set_password, account, "new")
    assert ended(kept)
    assert any_database.read(staff.get, "张三").password_hash == "new"
    last = opened()
    any_database.write(staff.remove, account)
    assert ended(last)
    assert any_database.read(staff.get, "张三") is None


def test_another_role_ends_the_sessions_of_an_account(any_database: Database) -> None:
    account = make(any_database)
    token = any_database.write(staff.open_session, account, 60)
    any_database.write(staff.change_role, account, "admin")
    with pytest.raises(Unauthorized):
        any_database.read(staff.by_session, token)
    assert any_database.read(staff.get, "张三").role == "admin"
    with pytest.raises(NotFound):
        any_database.write(staff.change_role, 999, "admin")
    with pytest.raises(NotFound):
        any_database.write(staff.remove, 999)


def test_the_last_admin_stays(any_database: Database) -> None:
    last, other = make(any_database, "店长", "admin"), make(any_database, "店员", "editor")
    token = any_database.write(staff.open_session, last, 60)
    for work, *more in ((staff.change_role, "editor"), (staff.remove,)):
        with pytest.raises(LastAdmin):
            any_database.write(work, last, *more)
    assert any_database.read(staff.by_session, token).role == "admin"
    any_database.write(staff.change_role, last, "admin")  # nothing changes
    any_database.write(staff.change_role, other, "admin")
    any_database.write(staff.remove, last)
    assert [(one.name, one.role) for one in any_database.read(staff.everyone)] == [("店员", "admin")]


def test_admins_who_remove_each_other_at_the_same_moment_leave_one(any_database: Database) -> None:
    with second_process(any_database) as other:
        for attempt in range(5):
            one, two = (make(any_database, f"{name}{attempt}", "admin") for name in "甲乙")
            keep = [row.id for row in any_database.read(staff.everyone) if row.id not in (one, two)]
            for number in keep:
                any_database.write(staff.remove, number)
            results = in_threads(
                partial(any_database.write, staff.remove, two), partial(other.write, staff.change_role, one, "viewer")
            )
            assert sum(isinstance(result, LastAdmin) for result in results) == 1, results
            assert sum(row.role == "admin" for row in any_database.read(staff.everyone)) == 1


def test_a_session_of_nobody_is_an_error_and_not_passed_over(any_database: Database) -> None:
    """MySQL's INSERT IGNORE would pass over a foreign key too."""
    orphan = {"token_hash": "h", "staff_id": 999, "created_at": 0, "expires_at": 0}
    with pytest.raises(IntegrityError):
        any_database.write(insert_if_absent, StaffSessionRow, **orphan)


def test_the_operation_log_is_read_newest_first_page_by_page(any_database: Database) -> None:
    for number in range(5):
        any_database.write(staff.log, "张三", "127.0.0.1", "publish", f"提示词 {number}", "长" * 70_000)
    entries = any_database.read(staff.operations, 10)
    assert [one.id for one in entries] == sorted((one.id for one in entries), reverse=True)
    assert (entries[0].staff, entries[0].address, entries[0].action) == ("张三", "127.0.0.1", "publish")
    assert len(entries[0].detail) == 70_000
    assert any_database.read(staff.operations, 2) == entries[:2]
    assert any_database.read(staff.operations, 10, entries[1].id) == entries[2:]
