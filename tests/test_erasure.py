"""DELETE /api/me: everything that says who somebody is or what they wrote is erased, and stays so."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import requests
from sqlalchemy import func, select, update

from core import migrate
from core.database import Database
from core.settings import SIMULATOR_APPID
from core.store import complaints, deliveries, erasure, remnants, users
from core.store.users import UNIONID, Quota
from core.tables import Base, ComplaintRow, ErasureRow, KeyRow, SessionRow, UserRow
from tests.house import House, at_once, housing, problem
from tests.server import User
from tests.stores import ask, end, in_threads, make_user, second_process


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    """A house whose users may ask three times a day."""
    with housing(tmp_path_factory.mktemp("limited"), simulator, {"user_per_day": 3}) as house:
        yield house


def everything(database: Database) -> str:
    """All that the database holds, as one text."""

    def read(connection: Any) -> str:
        tables = Base.metadata.sorted_tables
        return "\n".join(str(tuple(row)) for table in tables for row in connection.execute(select(table)))

    return database.read(read)


def erase(user: User) -> requests.Response:
    return user.call("DELETE", "/api/me")


def names() -> tuple[str, str]:
    return f"o{uuid4().hex}", f"u{uuid4().hex}"


def test_no_trace_of_a_person_is_left_but_the_figures(house: House) -> None:
    openid, unionid = names()
    user = house.login(openid=openid, unionid=unionid)
    secret = f"秘密{uuid4().hex}"
    turn = user.ask(f"我说{secret}[think:想{secret}]", client_request_id=f"id-{secret}").json()
    user.post(f"/api/turns/{turn['turn_id']}/rating", {"rating": "down", "reason": f"因为{secret}"})
    user.post("/chat", {"messages": [{"role": r, "content": secret} for r in ("user", "assistant", "user")]})
    assert everything(house.database).count(secret) > 5
    assert erase(user).status_code == 204
    left = everything(house.database)
    for trace in (secret, openid, unionid, user.user_id, user.token, turn["conversation_id"]):
        assert trace not in left, trace
    row = house.row(turn["turn_id"])
    assert (row.status, row.user_id, row.rating) == ("done", None, "down")
    assert row.completion_tokens, "figures stay"


def test_every_session_of_theirs_ends_everywhere(house: House) -> None:
    openid, _ = names()
    user, elsewhere = house.login(openid=openid), house.login(openid=openid).at(house.other.url)
    assert elsewhere.get("/api/me").status_code == 200
    assert erase(user).status_code == 204
    for one in (user, elsewhere):
        problem(one.get("/api/me"), 401, "unauthorized")
        problem(erase(one), 401, "unauthorized")
        problem(one.ask("还在吗"), 401, "unauthorized")
    again = house.login(openid=openid)
    assert again.user_id != user.user_id
    assert again.get("/api/conversations").json()["conversations"] == []


def test_nothing_is_written_after_the_204_while_another_process_writes(house: House) -> None:
    user = house.login()
    other = user.at(house.other.url)
    stream = other.stream("别的进程在写[tokens:400@0.02]")
    stream.until("delta")
    aborted = house.cogito.aborted
    assert erase(user).status_code == 204
    house.cogito.wait_for(lambda: house.cogito.aborted > aborted, 1.0)  # the model has been left
    for _ in range(30):
        row = house.row(stream.turn_id)
        assert (row.status, row.answer, row.reasoning, row.question) == ("stopped", "", "", "")
        time.sleep(0.05)
    rest = [name for name, _ in stream]
    assert rest[-1] in ("done", "error")
    assert str(house.row(stream.turn_id).user_id) == "None"


def test_a_silent_model_is_left_too_and_those_who_wait_never_ask_it(house: House) -> None:
    user = house.login()
    first = user.at(house.other.url).ask("一声不吭[hold:-1]", wait=0).json()
    house.called("一声不吭")
    second = user.ask("排队的问题", conversation_id=first["conversation_id"], wait=0).json()
    aborted = house.cogito.aborted
    assert erase(user).status_code == 204
    house.cogito.wait_for(lambda: house.cogito.aborted > aborted, 1.5)
    for turn in (first, second):
        assert house.row(turn["turn_id"]).status == "stopped"
    time.sleep(1.0)
    assert house.calls("排队的问题") == 0


def test_erasing_at_once_and_while_asking_leaves_nothing(house: House) -> None:
    openid, _ = names()
    user = house.login(openid=openid)
    mark = f"混乱{uuid4().hex}"
    urls = (house.api.url, house.other.url)

    def act(number: int) -> int:
        one = user.at(urls[number % 2])
        if number in (5, 6, 9):
            return erase(one).status_code
        return one.ask(f"{mark}[tokens:30@0.01]", wait=1).status_code

    statuses = at_once(act, *range(14))
    assert 204 in statuses
    assert set(statuses) <= {200, 202, 204, 401, 404, 503}, statuses
    time.sleep(0.6)
    assert mark not in everything(house.database)
    assert openid not in everything(house.database)


def test_an_open_complaint_keeps_its_copy_until_it_is_closed(house: House) -> None:
    user = house.login()
    mark = f"不当{uuid4().hex}"
    turn = user.ask(mark).json()["turn_id"]
    user.post(f"/api/turns/{turn}/report", {"reason": f"原因{mark}"})
    erase(user)
    query = select(ComplaintRow.__table__).where(ComplaintRow.turn_id == int(turn))
    row = house.database.read(lambda c: c.execute(query).one())
    assert (row.question, row.answer, row.reason) == (mark, f"回答：{mark}", f"原因{mark}")
    assert (row.user_id, row.state) == (None, "open")
    house.database.write(complaints.close, row.id, "小王", f"已处理{mark}")
    assert mark not in everything(house.database)


def test_a_closed_complaint_keeps_nothing(house: House) -> None:
    user = house.login()
    mark = f"处理{uuid4().hex}"
    turn = user.ask(mark).json()["turn_id"]
    user.post(f"/api/turns/{turn}/report", {"reason": mark})
    query = select(ComplaintRow.id).where(ComplaintRow.turn_id == int(turn))
    house.database.write(complaints.close, house.database.read(lambda c: c.execute(query).scalar_one()), "小王", "")
    erase(user)
    assert mark not in everything(house.database)


def test_erasing_does_not_open_the_quota_again(limited: House) -> None:
    openid, unionid = names()
    user = limited.login(openid=openid, unionid=unionid)
    for _ in range(2):
        assert user.ask("你好呀").status_code == 200
    erase(user)
    again = limited.login(openid=openid, unionid=unionid)
    assert again.get("/api/me").json()["quota"]["used_today"] == 2
    assert again.ask("你好呀").status_code == 200
    problem(again.ask("你好呀"), 429, "quota_exceeded")
    erase(again)
    third = limited.login(openid=openid)
    problem(third.ask("你好呀"), 429, "quota_exceeded")
    erase(third)
    elsewhere = limited.database.write(users.sign_in, "wxother", names()[0], unionid)  # by UnionID alone
    assert limited.database.read(users.get, elsewhere).day_count == 3


def test_erasing_does_not_lift_a_block_and_the_blocked_may_erase(limited: House) -> None:
    openid, _ = names()
    user = limited.login(openid=openid)
    blocked = update(UserRow).where(UserRow.id == int(user.user_id)).values(blocked="骚扰他人，电话 123")
    limited.database.write(lambda connection: connection.execute(blocked))
    problem(user.get("/api/me"), 403, "user_blocked")
    assert erase(user).status_code == 204
    assert "骚扰他人" not in everything(limited.database)
    problem(limited.login(openid=openid).ask("我又来了"), 403, "user_blocked")


def test_what_stays_is_a_keyed_hash(limited: House) -> None:
    openid, _ = names()
    user = limited.login(openid=openid)
    user.ask("你好呀")
    erase(user)
    database = limited.database
    key = database.read(lambda c: c.execute(select(KeyRow.value).where(KeyRow.name == "erasure")).scalar_one())
    assert len(key) == 64
    expected = database.read(remnants._hashes, [(SIMULATOR_APPID, openid)])
    kept = database.read(lambda c: set(c.execute(select(ErasureRow.identity_hash)).scalars()))
    assert expected <= kept and openid not in kept


# In the store, on every database


def test_a_user_is_erased_with_all_that_is_theirs(any_database: Database) -> None:
    database, quota = any_database, Quota(0, 0, "Asia/Shanghai")
    openid, unionid = names()
    user = make_user(database, openid, unionid=unionid)
    database.write(users.open_session, user, 7)
    done = ask(database, user, "说过的话", writer=1, new_conversation=True, request_key="k", quota=quota)
    end(database, done)
    running = ask(database, user, "正在写的", writer=1)
    database.write(deliveries.receive, deliveries.Arrival("wxapp", openid, "msg-1"))
    database.write(complaints.report, user, done, "不好", channel="miniprogram", timezone="Asia/Shanghai")
    assert database.write(erasure.empty_some, user) == 1
    assert database.write(erasure.empty_some, user) == 0
    assert database.write(erasure.erase, user) == [running.id]
    assert database.write(erasure.erase, user) == []
    assert not end(database, running, "太晚了"), "a writer that finishes later finds it is not his any more"
    left = everything(database)
    for trace in (openid, unionid, "正在写的", "太晚了", str(user)):
        assert trace not in left
    sessions = select(func.count()).select_from(SessionRow)
    assert database.read(lambda c: c.execute(sessions).scalar_one()) == 0
    again = database.write(users.sign_in, "wxapp", openid, unionid)
    assert database.read(users.get, again).day_count == 2


def test_signing_in_while_being_erased_ends_in_one_user(any_database: Database) -> None:
    database = any_database
    openid, unionid = names()
    for _ in range(8):
        user = make_user(database, openid, unionid=unionid)
        with second_process(database) as other:

            def sign_in(connection: Any) -> str:
                who = users.sign_in(connection, "wxapp", openid, unionid)
                return users.open_session(connection, who, 7)[0]

            erase_them = partial(other.write, erasure.erase, user)
            results = in_threads(erase_them, partial(other.write, sign_in), partial(database.write, sign_in))
        faults = [one for one in results if isinstance(one, Exception)]
        assert not faults, faults
        owners = {
            database.read(users.of_identity, "wxapp", openid),
            database.read(users.of_identity, UNIONID, unionid),
        }
        assert len(owners - {None}) <= 1
        database.write(users.sign_in, "wxapp", openid, unionid)


def test_what_stays_is_forgotten_when_it_counts_no_more(database: Database) -> None:
    kinds = {"alt": {"day": 100}, "blocked": {"day": 100, "blocked": "x"}, "neu": {"day": 200}}
    for name, values in kinds.items():
        user = make_user(database, name)
        changed = update(UserRow).where(UserRow.id == user).values(day_count=1, **values)
        database.write(lambda connection, changed=changed: connection.execute(changed))
        database.write(erasure.erase, user)
    kept = database.read(lambda c: set(c.execute(select(ErasureRow.identity_hash)).scalars()))
    gone = database.read(remnants._hashes, [("wxapp", "alt")])
    assert len(kept) == 2 and not gone & kept


def test_many_turns_are_emptied_slice_by_slice(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "SLICE", 3)
    user = make_user(database)
    for number in range(7):
        end(database, ask(database, user, f"第{number}句", writer=1))
    emptied = []
    while count := database.write(erasure.empty_some, user):
        emptied.append(count)
    assert emptied == [3, 3, 1]
    assert "句" not in everything(database)


def test_the_key_is_made_once(database: Database) -> None:
    before = database.read(lambda c: c.execute(select(KeyRow.value)).scalars().all())
    migrate.upgrade(database)
    assert database.read(lambda c: c.execute(select(KeyRow.value)).scalars().all()) == before
    assert len(before) == 1
