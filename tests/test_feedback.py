"""Ratings, and complaints for staff to look at."""

import re
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from core.database import Database
from core.errors import NotFound
from core.store import complaints, retention, users
from core.tables import ComplaintRow, now_ms
from tests.house import House, at_once, problem
from tests.stores import ask, end, in_threads, make_user, second_process


def entries(house: House, turn_id: str) -> list[Any]:
    query = select(ComplaintRow.__table__).where(ComplaintRow.turn_id == int(turn_id))
    return list(house.database.read(lambda connection: connection.execute(query).all()))


def test_a_rating_is_kept_changed_and_taken_back(house: House) -> None:
    user = house.login()
    turn = user.ask("评价我").json()["turn_id"]
    where = f"/api/turns/{turn}"
    told = user.post(f"{where}/rating", {"rating": "down", "reason": "答非所问"})
    assert told.json() == {"turn_id": turn, "rating": "down", "reason": "答非所问"}
    assert user.get(where).json()["rating"] == "down"
    assert house.row(turn).rating_reason == "答非所问"
    user.post(f"{where}/rating", {"rating": "up"})
    assert user.at(house.other.url).get(where).json()["rating"] == "up"
    assert house.row(turn).rating_reason is None
    user.post(f"{where}/rating", {"rating": None, "reason": "多余"})
    assert user.get(where).json()["rating"] is None
    assert house.row(turn).rating_reason is None


@pytest.mark.parametrize(
    "body",
    [{}, {"rating": "good"}, {"rating": 1}, {"rating": "up", "reason": "长" * 501}, {"rating": "up", "reason": 5}],
)
def test_a_rating_that_makes_no_sense_is_refused(house: House, body: dict[str, Any]) -> None:
    user = house.login()
    turn = user.ask("你好呀").json()["turn_id"]
    problem(user.post(f"/api/turns/{turn}/rating", body), 400, "invalid_message")


def test_nobody_rates_or_reports_what_is_not_theirs(house: House) -> None:
    turn = house.login().ask("你好呀").json()["turn_id"]
    stranger = house.login()
    for which in (turn, "1", "x", str(1 << 63)):
        problem(stranger.post(f"/api/turns/{which}/rating", {"rating": "up"}), 404, "not_found")
        problem(stranger.post(f"/api/turns/{which}/report", {"reason": "不好"}), 404, "not_found")
    assert entries(house, turn) == []


def test_ratings_at_once_leave_one_of_them(house: House) -> None:
    user = house.login()
    turn = user.ask("一起评价").json()["turn_id"]

    def rate(rating: str | None) -> int:
        return user.post(f"/api/turns/{turn}/rating", {"rating": rating}).status_code

    assert set(at_once(rate, "up", "down", None, "up", "down", "up")) == {200}
    assert house.row(turn).rating in ("up", "down", None)


def test_a_complaint_gets_a_receipt_and_lands_in_the_queue_of_staff(house: House) -> None:
    user = house.login()
    turn = user.ask("投诉我").json()["turn_id"]
    answer = user.post(f"/api/turns/{turn}/report", {"reason": "  内容不实 "})
    receipt = answer.json()["receipt"]
    assert re.fullmatch(r"20\d{12}", receipt)
    (entry,) = entries(house, turn)
    assert (entry.receipt, entry.kind, entry.state, entry.channel) == (receipt, "report", "open", "miniprogram")
    assert (entry.reason, entry.question, entry.answer) == ("内容不实", "投诉我", "回答：投诉我")
    queue = house.database.read(complaints.page, 10, state="open")
    assert entry.id in [one.id for one in queue]


def test_complaining_again_or_at_once_is_one_complaint_until_it_is_closed(house: House) -> None:
    user = house.login()
    turn = user.ask("重复投诉").json()["turn_id"]

    def report(number: int) -> str:
        url = (house.api, house.other)[number % 2].url
        return str(user.at(url).post(f"/api/turns/{turn}/report", {"reason": f"原因{number % 3}"}).json()["receipt"])

    receipts = at_once(report, *range(8))
    assert len(set(receipts)) == 1
    (entry,) = entries(house, turn)
    assert sorted(entry.reason.split("\n")) == ["原因0", "原因1", "原因2"]
    assert house.database.write(complaints.close, entry.id, "小王", "已核实")
    assert not house.database.write(complaints.close, entry.id, "小李", "")
    assert report(9) != receipts[0]
    assert [one.state for one in entries(house, turn)] == ["done", "open"]
    with pytest.raises(NotFound):
        house.database.write(complaints.close, 1, "小王", "")


@pytest.mark.parametrize("body", [{}, {"reason": " "}, {"reason": "长" * 1001}, {"reason": 1}, {"reason": "a\x00b"}])
def test_a_complaint_without_a_reason_is_refused(house: House, body: dict[str, Any]) -> None:
    user = house.login()
    turn = user.ask("你好呀").json()["turn_id"]
    problem(user.post(f"/api/turns/{turn}/report", body), 400, "invalid_message")
    assert entries(house, turn) == []


# In the store, on every database


def test_two_clicks_in_two_processes_make_one_complaint(any_database: Database) -> None:
    database = any_database
    user = make_user(database)
    turn = ask(database, user, "问题", writer=1)
    end(database, turn, "回答")
    about = {"channel": "miniprogram", "timezone": "Asia/Shanghai"}
    with second_process(database) as other:
        works = [partial(one.write, complaints.report, user, turn, "不好", **about) for one in (database, other) * 3]
        told = in_threads(*works)
    assert len({receipt for receipt, _ in told}) == 1
    assert sum(new for _, new in told) == 1
    whole, new = database.write(complaints.report, user, None, "整体不好", **about)
    assert new and whole != told[0][0]
    assert database.read(complaints.count_open) == 2
    newest, oldest = database.read(complaints.page, 10)
    assert (newest.receipt, oldest.turn_id) == (whole, turn.id)
    assert database.read(complaints.page, 10, state="done") == []
    assert [one.id for one in database.read(complaints.page, 10, before=newest.id)] == [oldest.id]


def test_complaints_go_along_when_two_users_become_one(database: Database) -> None:
    follower = make_user(database, "a", unionid="u")
    visitor = make_user(database, "b")
    database.write(complaints.report, visitor, None, "不好", channel="miniprogram", timezone="Asia/Shanghai")
    database.write(users.sign_in, "wxapp", "b", "u")
    (entry,) = database.read(complaints.page, 10)
    assert entry.user_id == follower


def test_closed_complaints_are_cleared_with_the_turns_of_their_time_and_open_ones_stay(database: Database) -> None:
    user = make_user(database)
    for reason in ("开着", "处理完"):
        database.write(complaints.report, user, None, reason, channel="miniprogram", timezone="Asia/Shanghai")
    done = next(one for one in database.read(complaints.page, 10) if one.reason == "处理完")
    database.write(complaints.close, done.id, "小王", "")
    for _, step in retention.of_content(now_ms() + 60_000):
        database.write(step)
    assert [one.reason for one in database.read(complaints.page, 10)] == ["开着"]
