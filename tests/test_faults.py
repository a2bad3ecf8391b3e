"""A model that misbehaves: the right error or text each time, and a turn row that tells the truth."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from core.writer import UNCLEAR
from tests.house import House, at_once, housing, problem
from tests.scripts import LOADING, Script, failure, overflow
from tests.server import EventStream, User, wait_until

OPEN_ENDED = [f"{n} " for n in range(200)]


@dataclass(frozen=True)
class Case:
    """What the model does, and what is to come of it."""

    script: Script
    code: str | None = None  # of the error; None: it is answered
    status: int = 200  # of the HTTP response
    text: str = ""  # that is kept
    calls: int | None = None  # of the model; None: as many as it takes


WORDS = ("一段话", "又一段", "说完了")
PLAIN = Script(pieces=WORDS, plain=True)
CUT = {"code": "model_error", "status": 500}
LATE = {"code": "model_timeout", "status": 503}
AWAY = {"code": "model_unavailable", "status": 503}
CASES = {
    # It is answered all the same
    "a slow answer": Case(Script(WORDS, slow=0.5, every=0.1), text="一段话又一段说完了", calls=1),
    "split within characters": Case(Script(WORDS, split=5), text="一段话又一段说完了", calls=1),
    "plain JSON": Case(PLAIN, text="一段话又一段说完了", calls=1),
    "nothing but <think>": Case(Script(["<think>", "只想不说"]), text=UNCLEAR, calls=1),
    "thought and nothing else": Case(Script(["<think>想</think>"]), text=UNCLEAR, calls=1),
    "an empty answer": Case(Script(), text=UNCLEAR, calls=1),
    "plain JSON without text": Case(Script(plain=True), text=UNCLEAR, calls=1),
    "cut after its last word": Case(Script(WORDS, done=False, usage=False), text="一段话又一段说完了", calls=1),
    "a NUL and a lone surrogate": Case(Script(["不该有\0的字\ud800符"]), text="不该有的字\ufffd符", calls=1),
    # It is cut off
    "cut in the midst": Case(Script(WORDS, cut_at=2), text="一段话又一段", calls=1, **CUT),
    "an end without its end": Case(
        Script(WORDS, finish_reason=None, done=False), text="一段话又一段说完了", calls=1, **CUT
    ),
    "an error in the midst": Case(
        Script(WORDS, error={"code": 500, "message": "out of memory"}), text="一段话又一段说完了", calls=1, **CUT
    ),
    # It takes too long
    "silent from the beginning": Case(Script(WORDS, prefill=30), calls=1, **LATE),
    "silent before the first word": Case(Script(WORDS, slow=30), calls=1, **LATE),
    "silent in the midst": Case(Script(WORDS, pause_at=1, pause=30), text="一段话", calls=1, **LATE),
    "without an end": Case(Script(OPEN_ENDED, every=0.05), text="0 1 2 3 ", calls=1, **LATE),
    # It cannot be used
    "429": Case(failure(429, "rate_limit", "too many"), **AWAY),
    "500": Case(failure(500, "server_error", "secret detail"), **AWAY),
    "loading": Case(LOADING, **AWAY),
    "gone before the headers": Case(Script(cut_at=-1), **AWAY),
    "401": Case(failure(401, "auth", "bad key"), calls=1, **CUT),
    "400": Case(failure(400, "invalid", "no such parameter"), calls=1, **CUT),
    "HTML": Case(Script(body="<html>502 Bad Gateway</html>", content_type="text/html"), **CUT),
    "HTML that says 502": Case(Script(body="<html>x</html>", content_type="text/html", status=502), **AWAY),
    "bad JSON": Case(Script(body='{"choices": [{"delta"', content_type="application/json"), **CUT),
    "bad JSON in a stream": Case(Script(body="data: {oops\n\n", content_type="text/event-stream"), **CUT),
    "JSON of another shape": Case(Script(body="[1, 2]"), **CUT),
    "numbers for text": Case(
        Script(body=json.dumps({"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]})), **CUT
    ),
    "a prompt that is too long": Case(overflow(), calls=1, **CUT),
}
BEGINNING = {
    "model_error": "解析 AI 响应时出错",
    "model_timeout": "无法连接 AI 服务",
    "model_unavailable": "无法连接 AI 服务",
}


@dataclass
class Outcome:
    user: User
    whole: requests.Response
    stream: EventStream
    row: Any


@pytest.fixture(scope="module")
def _impatient(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    # Four tries pause 1.7 s between them, and everything below comes at the same time.
    deadlines = {"model_first_token_seconds": 5, "model_idle_seconds": 1, "model_total_seconds": 7}
    with housing(tmp_path_factory.mktemp("impatient"), simulator, deadlines) as house:
        yield house


@pytest.fixture
def impatient(_impatient: House) -> Iterator[House]:
    """A process that waits for its model five seconds for the first word and seven for the last."""
    yield _impatient
    _impatient.settle()


@pytest.fixture(scope="module")
def user(_impatient: House) -> User:
    return _impatient.login()


@pytest.fixture(scope="module")
def outcomes(_impatient: House) -> dict[str, Outcome]:
    """What came of each case, asked whole and as a stream; all at the same time, for most of them only wait."""
    for name, case in CASES.items():
        for way in ("整", "流"):
            _impatient.cogito.when(f"{way}：{name}。", case.script)

    users = {name: _impatient.login() for name in CASES}

    def ask(way: str, name: str) -> Any:
        question = f"{way}：{name}。"
        return users[name].ask(question) if way == "整" else users[name].stream(question).to_end()

    found = iter(at_once(lambda each: ask(*each), *[(way, name) for name in CASES for way in ("整", "流")]))
    pairs = {name: (next(found), next(found)) for name in CASES}
    return {
        name: Outcome(users[name], whole, stream, _impatient.row(stream.turn_id))
        for name, (whole, stream) in pairs.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_whole_the_answer_or_error_is_right(outcomes: dict[str, Outcome], name: str) -> None:
    case, response = CASES[name], outcomes[name].whole
    if case.code is None:
        assert response.status_code == 200, response.text
        assert (response.json()["reply"], response.json()["status"]) == (case.text, "done")
    else:
        told = problem(response, case.status, case.code)
        assert told["detail"].startswith(BEGINNING[case.code])
        for leaked in ("Error", "Traceback", "127.0.0.1", "secret detail", "HTTP"):
            assert leaked not in told["detail"]


@pytest.mark.parametrize("name", CASES)
def test_as_a_stream_it_ends_in_the_right_event(outcomes: dict[str, Outcome], name: str) -> None:
    case, stream = CASES[name], outcomes[name].stream
    end, data = stream.last
    if case.code is None:
        assert (end, data["reply"], stream.text) == ("done", case.text, case.text)
    else:
        assert (end, data["code"]) == ("error", case.code)
        assert data["detail"].startswith(BEGINNING[case.code])
        assert stream.text.startswith(case.text)
        assert bool(stream.text) == bool(case.text)


@pytest.mark.parametrize("name", CASES)
def test_the_row_tells_the_truth(outcomes: dict[str, Outcome], name: str) -> None:
    case, outcome = CASES[name], outcomes[name]
    row = outcome.row
    assert (row.status, row.code) == ("done" if case.code is None else "failed", case.code)
    assert row.answer == outcome.stream.text, "what was shown is what is kept"
    assert row.finished_at is not None
    turn = outcome.user.get(f"/api/turns/{outcome.stream.turn_id}").json()
    assert (turn["status"], turn["code"], turn["reply"]) == (row.status, row.code, row.answer)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.calls])
def test_what_asking_again_cannot_mend_is_asked_once(
    outcomes: dict[str, Outcome], _impatient: House, name: str
) -> None:
    assert _impatient.calls(f"流：{name}。") == CASES[name].calls


@pytest.mark.parametrize("name", ["429", "500", "loading", "gone before the headers", "HTML", "bad JSON"])
def test_what_may_pass_is_tried_again(outcomes: dict[str, Outcome], _impatient: House, name: str) -> None:
    assert _impatient.calls(f"流：{name}。") > 1


@pytest.mark.parametrize("name", CASES)
def test_only_what_was_answered_has_cost_the_user_anything(outcomes: dict[str, Outcome], name: str) -> None:
    quota = outcomes[name].user.get("/api/me").json()["quota"]
    assert quota["used_today"] == (2 if CASES[name].code is None else 0)


def test_a_fault_that_passes_is_not_noticed(impatient: House, user: User) -> None:
    impatient.cogito.will_fail(500)
    impatient.cogito.will_be_loading()
    assert user.ask("等它好起来").json()["reply"] == "回答：等它好起来"
    assert impatient.calls("等它好起来") == 3


def test_a_retry_after_is_heeded(impatient: House, user: User) -> None:
    impatient.cogito.will_fail(429, retry_after=1)
    assert user.ask("等一秒").json()["reply"] == "回答：等一秒"
    impatient.cogito.will_fail(429, retry_after=60)
    problem(user.ask("等不了一分钟"), 503, "model_unavailable")
    assert impatient.calls("等不了一分钟") == 1


def test_a_prompt_that_is_too_long_is_sent_again_with_a_turn_less(impatient: House, user: User) -> None:
    conversation = user.ask("第一问").json()["conversation_id"]
    user.ask("第二问", conversation_id=conversation)
    impatient.cogito.will_overflow()
    assert user.ask("第三问", conversation_id=conversation).json()["reply"] == "回答：第三问"
    long, short = ([one["content"] for one in messages[1:]] for messages in impatient.prompts("第三问"))
    assert long == ["第一问", "回答：第一问", "第二问", "回答：第二问", "第三问"]
    assert short == long[2:]


def test_a_client_that_holds_the_history_gets_a_turn_less_as_well(impatient: House, user: User) -> None:
    told = [{"role": "assistant" if n % 2 else "user", "content": f"旧话{n}"} for n in range(4)]
    impatient.cogito.will_overflow()
    answer = user.post("/chat", {"messages": [*told, {"role": "user", "content": "太长了吗"}]})
    assert answer.json()["reply"] == "回答：太长了吗"
    assert [one["content"] for one in impatient.prompts("太长了吗")[1][1:]] == ["旧话2", "旧话3", "太长了吗"]


def test_the_tutorials_chat_answers_a_fault_in_the_tutorials_words(impatient: House, user: User) -> None:
    def chat(question: str) -> requests.Response:
        return user.post("/chat", {"messages": [{"role": "user", "content": question}]})

    away, late, broken = at_once(chat, "一[status:503]", "二[slow:30]", "三[cut:1]")
    assert problem(away, 503, "model_unavailable")["detail"].startswith("无法连接 AI 服务")
    assert problem(late, 503, "model_timeout")["detail"].startswith("无法连接 AI 服务")
    assert problem(broken, 500, "model_error")["detail"].startswith("解析 AI 响应时出错")


def test_while_the_model_is_silent_others_are_answered(impatient: House, user: User) -> None:
    impatient.cogito.when("没反应", hold_at=0, pieces=["总算有反应了"])
    slow = [user.ask("没反应", wait=0).json()["turn_id"] for _ in range(20)]
    assert user.ask("别人呢").json()["reply"] == "回答：别人呢"
    assert {user.get(f"/api/turns/{one}").json()["status"] for one in slow} == {"answering"}
    impatient.cogito.release()
    wait_until(lambda: all(user.wait_final(one)["reply"] == "总算有反应了" for one in slow))
