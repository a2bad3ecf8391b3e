"""Questions that wait because the model is full: in order, not for ever, and never in memory alone."""

import threading
import time
from collections.abc import Iterator

import pytest

from core.tables import now_ms
from core.writers import TICK_SECONDS
from tests.house import House, housing, problem
from tests.server import EventStream, User, wait_until

MAX_WAIT = 0.8


@pytest.fixture(scope="module")
def _narrow(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    settings = {"model_max_concurrent": 1, "model_max_wait_seconds": 60}
    with housing(tmp_path_factory.mktemp("narrow"), simulator, settings) as house:
        yield house


@pytest.fixture
def narrow(_narrow: House) -> Iterator[House]:
    """One process that lets one answer be written at a time."""
    yield _narrow
    _narrow.settle()


@pytest.fixture(scope="module")
def _hasty(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    settings = {"model_max_concurrent": 1, "model_max_wait_seconds": MAX_WAIT}
    with housing(tmp_path_factory.mktemp("hasty"), simulator, settings) as house:
        yield house


@pytest.fixture
def hasty(_hasty: House) -> Iterator[House]:
    """The same, where nobody waits for long."""
    yield _hasty
    _hasty.settle()


def occupy(house: House, question: str) -> tuple[User, str]:
    """Somebody whose answer the model holds."""
    house.cogito.when(question, pieces=["占着，", "完了。"], hold_at=1)
    user = house.login()
    turn_id = user.ask(question, wait=0).json()["turn_id"]
    house.called(question)
    return user, turn_id


def test_one_answer_at_a_time_and_those_who_wait_in_the_order_they_came(narrow: House) -> None:
    first, turn_id = occupy(narrow, "占住一")
    peak, before = narrow.cogito.peak, narrow.cogito.calls
    people = [narrow.login() for _ in range(5)]
    asked = []
    for n, user in enumerate(people):
        accepted = user.ask(f"排队{n}", wait=0)
        assert (accepted.status_code, accepted.json()["status"]) == (202, "queued")
        asked.append((user, accepted.json()["turn_id"]))
        accepted_at = now_ms()  # two ids of one millisecond may come in either order
        wait_until(lambda then=accepted_at: now_ms() > then)
    assert narrow.cogito.calls == before
    narrow.cogito.release()
    assert first.wait_final(turn_id)["reply"] == "占着，完了。"
    for n, (user, waiting) in enumerate(asked):
        assert user.wait_final(waiting)["reply"] == f"回答：排队{n}"
    assert narrow.cogito.questions[before:] == [f"排队{n}" for n in range(5)]
    assert narrow.cogito.peak == peak == 1


def test_whoever_comes_later_does_not_overtake(narrow: House) -> None:
    before = narrow.cogito.calls
    _, _ = occupy(narrow, "占住二")
    early, late = narrow.login(), narrow.login()
    waiting = [early.ask(f"早来{n}[every:0.02]", wait=0).json()["turn_id"] for n in range(3)]
    narrow.cogito.release()
    assert late.ask("晚来").json()["reply"] == "回答：晚来"
    assert [early.wait_final(one)["status"] for one in waiting] == ["done"] * 3
    assert narrow.cogito.questions[before:][-1] == "晚来"


def test_a_stream_waits_too_and_begins_when_it_is_its_turn(narrow: House) -> None:
    occupy(narrow, "占住三")
    user = narrow.login()
    stream = user.stream("流也等")
    stream.until("start")
    assert user.get(f"/api/turns/{stream.turn_id}").json()["status"] == "queued"
    narrow.cogito.release()
    assert stream.to_end().text == "回答：流也等"


def test_the_next_begins_at_once_when_a_place_is_free(narrow: House) -> None:
    people = [narrow.login() for _ in range(3)]
    occupy(narrow, "占住四")
    waiting = [(user, user.ask(f"快轮到{n}", wait=0).json()["turn_id"]) for user in people for n in range(5)]
    began = time.monotonic()
    narrow.cogito.release()
    for user, turn_id in waiting:
        assert user.wait_final(turn_id)["status"] == "done"
    took = time.monotonic() - began
    assert took < len(waiting) * TICK_SECONDS, "the end of an answer wakes the next: nobody waits for a tick"


def test_stopping_makes_room(narrow: House) -> None:
    busy, turn_id = occupy(narrow, "占住五")
    user = narrow.login()
    waiting = user.ask("等位子", wait=0).json()["turn_id"]
    busy.post(f"/api/turns/{turn_id}/stop")
    assert user.wait_final(waiting)["reply"] == "回答：等位子"


def test_a_user_with_five_waiting_is_refused_and_others_are_not(narrow: House) -> None:
    occupy(narrow, "占住六")
    greedy, modest = narrow.login(), narrow.login()
    accepted = [greedy.ask(f"贪心{n}", wait=0) for n in range(6)]
    assert [one.status_code for one in accepted] == [202] * 5 + [503]
    problem(accepted[-1], 503, "busy")
    assert modest.ask("老实人", wait=0).status_code == 202
    narrow.cogito.release()
    for one in accepted[:5]:
        assert greedy.wait_final(one.json()["turn_id"])["status"] == "done"


def test_who_has_waited_too_long_is_told_busy_and_pays_nothing(hasty: House) -> None:
    occupy(hasty, "一直占着")
    user, impatient = hasty.login(), hasty.login()
    answers: list[EventStream] = []
    reader = threading.Thread(target=lambda: answers.append(impatient.stream("等不到流").to_end()))
    reader.start()
    began = time.monotonic()
    problem(user.ask("等不到"), 503, "busy")
    assert time.monotonic() - began >= MAX_WAIT
    reader.join()
    name, data = answers[0].last
    assert (name, data["code"]) == ("error", "busy")
    assert data["detail"]
    row = hasty.row(answers[0].turn_id)
    assert (row.status, row.code, row.answer) == ("failed", "busy", "")
    for one in (user, impatient):
        assert one.get("/api/me").json()["quota"]["used_today"] == 0
    assert hasty.calls("等不到") == 0
    hasty.cogito.release()
    assert user.ask("现在可以").json()["reply"] == "回答：现在可以"


def test_who_waits_for_their_own_earlier_question_is_not_given_up(hasty: House) -> None:
    user, turn_id = occupy(hasty, "自己占着")
    conversation = user.get(f"/api/turns/{turn_id}").json()["conversation_id"]
    waiting = user.ask("等自己", conversation_id=conversation, wait=0).json()["turn_id"]
    somebody = hasty.login()
    problem(somebody.ask("等别人"), 503, "busy")
    assert user.get(f"/api/turns/{waiting}").json()["status"] == "queued"
    hasty.cogito.release()
    assert user.wait_final(waiting)["reply"] == "回答：等自己"
