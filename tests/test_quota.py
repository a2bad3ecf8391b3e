"""How often a user may ask: exact across processes, and only for what was answered."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from core.tables import UserRow
from tests.house import BLOCKED, House, at_once, housing, problem
from tests.server import EventStream, User

PER_DAY, PER_MINUTE = 6, 4


@pytest.fixture(scope="module")
def _counting(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    counted = {"user_per_day": PER_DAY, "user_per_minute": PER_MINUTE}
    opened = counted | {"chat_login": "off"}
    folder = tmp_path_factory.mktemp("counting")
    with housing(folder, simulator, opened | {"trusted_proxies": 1}, opened) as house:
        yield house


@pytest.fixture
def counting(_counting: House) -> Iterator[House]:
    """Two processes that count; the first stands behind a proxy, and both let strangers use /chat."""
    yield _counting
    _counting.settle()


def allow(house: House, user: User, per_day: int) -> None:
    """What staff may give one user (0: no limit a day)."""
    table = UserRow.__table__
    house.database.write(
        lambda c: c.execute(table.update().where(table.c.id == int(user.user_id)).values(per_day=per_day))
    )


def forget_minute(house: House) -> None:
    """As if a minute had passed for everyone."""
    table = UserRow.__table__
    house.database.write(lambda c: c.execute(table.update().values(minute=0, minute_count=0)))


def within_a_minute(attempt: Callable[[], Any]) -> Any:
    """What `attempt` gives when no minute ends in its midst; a second try comes right after such an end."""
    for _ in range(2):
        minute, result = time.time() // 60, attempt()
        if time.time() // 60 == minute:
            return result
    raise TimeoutError("one attempt takes longer than a minute")


def used(user: User) -> int:
    number: int = user.get("/api/me").json()["quota"]["used_today"]
    return number


def test_40_at_once_in_two_processes_get_exactly_the_minutes_quota(counting: House) -> None:
    def attempt() -> tuple[User, str, list[requests.Response]]:
        user = counting.other.login()
        allow(counting, user, 0)
        doors, question = [user, user.at(counting.api.url)] * 20, f"挤一挤{user.user_id}"
        return user, question, at_once(lambda door: door.ask(question), *doors)

    user, question, answers = within_a_minute(attempt)
    assert [one.status_code for one in answers].count(200) == PER_MINUTE == counting.calls(question)
    refused = [one for one in answers if one.status_code != 200]
    assert len(refused) == 40 - PER_MINUTE
    for one in refused:
        told = problem(one, 429, "quota_exceeded")
        assert told["detail"].startswith("有点快，")
        assert 1 <= int(one.headers["Retry-After"]) <= 60
    assert used(user) == PER_MINUTE


def test_40_at_once_in_two_processes_get_exactly_the_days_quota(counting: House) -> None:
    user = counting.other.login()
    for _ in range(PER_DAY - PER_MINUTE + 1):
        assert user.ask("先用掉一些").status_code == 200
    left = PER_DAY - used(user)
    forget_minute(counting)
    doors = [user, user.at(counting.api.url)] * 20
    answers = at_once(lambda door: door.ask("今天最后几次"), *doors)
    assert [one.status_code for one in answers].count(200) == left == counting.calls("今天最后几次")
    told = problem(next(one for one in answers if one.status_code != 200), 429, "quota_exceeded")
    assert told["detail"] == f"今天的 {PER_DAY} 次提问已用完，明天 0 点恢复。"
    assert used(user) == PER_DAY
    forget_minute(counting)
    refused = user.ask("再来一次")
    problem(refused, 429, "quota_exceeded")
    assert 1 <= int(refused.headers["Retry-After"]) <= 24 * 3600


def test_yesterdays_questions_do_not_count(counting: House) -> None:
    user, table = counting.other.login(), UserRow.__table__
    user.ask("昨天")
    back = table.update().where(table.c.id == int(user.user_id)).values(day=table.c.day - 1, day_count=PER_DAY)
    counting.database.write(lambda c: c.execute(back))
    assert used(user) == 0
    assert user.ask("今天").status_code == 200
    assert used(user) == 1


def test_what_failed_is_given_back_and_what_was_refused_never_counted(counting: House) -> None:
    user = counting.other.login()
    assert user.ask("断了[cut:1]").status_code == 500
    assert user.ask("坏了[status:400]").status_code == 500
    assert used(user) == 0
    for wrong in ({"content": ""}, {"content": BLOCKED}, {"content": "x", "conversation_id": "5"}):
        assert user.post("/api/chat", wrong).status_code in (400, 404, 422)
    assert used(user) == 0
    assert user.ask("好的回答").status_code == 200
    assert used(user) == 1


def test_a_minutes_failures_leave_the_minute_as_it_was(counting: House) -> None:
    def attempt() -> list[int]:
        user = counting.other.login()
        allow(counting, user, 0)
        at_once(lambda n: user.ask(f"断{n}[cut:1]"), *range(PER_MINUTE))
        return [user.ask("这次好了").status_code for _ in range(PER_MINUTE + 1)]

    assert within_a_minute(attempt) == [200] * PER_MINUTE + [429]


def test_the_same_request_again_costs_nothing(counting: House) -> None:
    user = counting.other.login()
    doors = [user, user.at(counting.api.url)] * 5
    at_once(lambda door: door.ask("重试不算", client_request_id="again"), *doors)
    assert used(user) == 1


def test_who_has_used_up_everything_still_gets_the_answer_to_a_retry(counting: House) -> None:
    user = counting.other.login()
    allow(counting, user, 1)
    first = user.ask("唯一一次", client_request_id="once").json()
    problem(user.ask("第二次"), 429, "quota_exceeded")
    assert user.ask("唯一一次", client_request_id="once").json() == first


def test_a_stopped_and_a_blocked_answer_count(counting: House) -> None:
    user = counting.other.login()
    counting.cogito.when("停了也算", pieces=["写到一半，", "完。"], hold_at=1)
    turn_id = user.ask("停了也算", wait=0).json()["turn_id"]
    user.post(f"/api/turns/{turn_id}/stop")
    counting.cogito.when("坏了也算", pieces=["前面", BLOCKED])
    assert user.ask("坏了也算").status_code == 422
    assert used(user) == 2


# /chat for everyone, counted by address


def chat(api_url: str, question: str, forwarded: str = "", **more: Any) -> requests.Response:
    body = {"messages": [{"role": "user", "content": question}]} | more
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return requests.post(f"{api_url}/chat", json=body, headers=headers, timeout=30)


def test_without_login_strangers_chat_as_in_the_tutorial(counting: House) -> None:
    answer = chat(counting.api.url, "谁都能问", "10.9.0.1")
    assert answer.json()["reply"] == "回答：谁都能问"
    headers = {"X-Forwarded-For": "10.9.0.1"}
    problem(requests.post(f"{counting.api.url}/api/chat", json={}, headers=headers, timeout=9), 401, "unauthorized")


def test_without_login_it_streams_too(counting: House) -> None:
    body = {"messages": [{"role": "user", "content": "流给谁看"}], "stream": True}
    headers = {"X-Forwarded-For": "10.9.0.2"}
    response = requests.post(f"{counting.api.url}/chat", json=body, headers=headers, stream=True, timeout=30)
    assert EventStream(response).to_end().text == "回答：流给谁看"


def test_behind_a_proxy_each_address_has_a_quota_of_its_own(counting: House) -> None:
    def attempt() -> list[int]:
        addresses.append(f"10.9.1.{len(addresses)}")
        answers = at_once(lambda _: chat(counting.api.url, "按地址算", addresses[-1]).status_code, *range(12))
        return sorted(answers)

    addresses: list[str] = []
    assert within_a_minute(attempt) == [200] * PER_MINUTE + [429] * (12 - PER_MINUTE)
    assert chat(counting.api.url, "按地址算", "10.9.2.1").status_code == 200
    forged = f"10.9.3.1, {addresses[-1]}"
    assert chat(counting.api.url, "按地址算", forged).status_code == 429, "only the proxy's own entry is believed"


def test_without_a_proxy_nobody_is_believed_about_their_address(counting: House) -> None:
    def attempt() -> list[int]:
        forget_minute(counting)
        everyone = [f"10.9.4.{n}" for n in range(PER_DAY + 6)]
        return sorted(at_once(lambda address: chat(counting.other.url, "冒充", address).status_code, *everyone))

    told = within_a_minute(attempt)
    assert 1 <= told.count(200) <= PER_MINUTE
    assert told.count(429) >= PER_DAY + 6 - PER_MINUTE
