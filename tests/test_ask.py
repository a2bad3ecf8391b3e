"""POST /api/chat: the server holds the history."""

import time
from typing import Any

import pytest

from core.model import THINKING
from core.writer import UNCLEAR
from tests.house import BLOCKED, House, at_once, problem
from tests.server import User, wait_until


def begin(house: House, user: User, question: str, **more: Any) -> dict[str, Any]:
    """Ask what the model will hold after its first words; the turn as it was accepted."""
    house.cogito.when(question, pieces=["写到一半，", "写完了。"], hold_at=1)
    accepted = user.ask(question, wait=0, **more)
    assert accepted.status_code == 202, accepted.text
    house.called(question)
    body: dict[str, Any] = accepted.json()
    return body


def test_the_second_question_carries_the_first_turn(house: House) -> None:
    user = house.login()
    first = user.ask("我叫小明").json()
    second = user.ask("我叫什么", conversation_id=first["conversation_id"]).json()
    assert second["conversation_id"] == first["conversation_id"]
    assert second["turn_id"] != first["turn_id"]
    (messages,) = house.prompts("我叫什么")
    assert [one["role"] for one in messages] == ["system", "user", "assistant", "user"]
    assert [one["content"] for one in messages[1:]] == ["我叫小明", "回答：我叫小明", "我叫什么"]


def test_without_a_conversation_a_new_one_begins(house: House) -> None:
    user = house.login()
    first, second = user.ask("甲问").json(), user.ask("乙问").json()
    assert first["conversation_id"] != second["conversation_id"]
    assert len(house.prompts("乙问")[0]) == 2


def test_five_turns_of_history_are_sent(house: House) -> None:
    user = house.login()
    conversation = user.ask("第0问").json()["conversation_id"]
    for n in range(1, 7):
        user.ask(f"第{n}问", conversation_id=conversation)
    (messages,) = house.prompts("第6问")
    assert [one["content"] for one in messages if one["role"] == "user"] == [f"第{n}问" for n in range(1, 7)]
    assert len(messages) == 12


def test_a_failed_turn_leaves_no_trace_in_the_history(house: House) -> None:
    user = house.login()
    conversation = user.ask("好问题").json()["conversation_id"]
    assert user.ask("坏问题[cut:1]", conversation_id=conversation).status_code == 500
    user.ask("又一问", conversation_id=conversation)
    (messages,) = house.prompts("又一问")
    assert [one["content"] for one in messages[1:]] == ["好问题", "回答：好问题", "又一问"]


def test_thinking_is_asked_for_in_the_system_prompt_and_told_apart_from_the_answer(house: House) -> None:
    user = house.login()
    house.cogito.when("想一想", pieces=["<thi", "nk>先想", "清楚</th", "ink>\n\n然后", "再回答。"])
    answer = user.ask("想一想", thinking=True).json()
    assert (answer["reasoning"], answer["reply"]) == ("先想清楚", "然后再回答。")
    assert house.prompts("想一想")[0][0]["content"].startswith(THINKING)
    user.ask("不用想")
    assert THINKING not in house.prompts("不用想")[0][0]["content"]


def test_reasoning_in_a_field_of_its_own_is_understood(house: House) -> None:
    house.cogito.when("另想", reasoning=["分开", "想的"], pieces=["这是我的回答"])
    answer = house.login().ask("另想", thinking=True).json()
    assert (answer["reasoning"], answer["reply"]) == ("分开想的", "这是我的回答")


def test_an_answer_that_is_only_thought_becomes_a_sentence(house: House) -> None:
    house.cogito.when("光想", pieces=["<think>想了很多</think>"])
    answer = house.login().ask("光想").json()
    assert (answer["reasoning"], answer["reply"], answer["status"]) == ("想了很多", UNCLEAR, "done")


def test_who_does_not_wait_gets_202_and_finds_the_answer_by_its_cursor(house: House) -> None:
    user = house.login()
    accepted = begin(house, user, "慢慢写")
    assert accepted["status"] == "answering"
    seen = user.get(f"/api/turns/{accepted['turn_id']}", params={"after": accepted["next"], "wait": 5}).json()
    assert (seen["reply"], seen["status"]) == ("写到一半，", "answering")
    house.cogito.release()
    rest = user.get(f"/api/turns/{accepted['turn_id']}", params={"after": seen["next"], "wait": 5}).json()
    assert rest["reset"] is False
    assert seen["reply"] + rest["reply"] == "写到一半，写完了。"


def test_the_wait_ends_when_it_is_over_and_not_before_the_answer(house: House) -> None:
    user = house.login()
    house.cogito.when("等一会", pieces=["终于写完了。"], hold_at=0)
    began = time.monotonic()
    assert user.ask("等一会", wait=0.3).status_code == 202
    assert 0.3 <= time.monotonic() - began < 5
    house.cogito.when("很快", pieces=["这就写完了。"], slow=0.2)
    assert user.ask("很快", wait=30).json()["reply"] == "这就写完了。"
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("wrong", [-1, "5", True])
def test_a_wait_that_makes_no_sense_is_refused(house: House, wrong: object) -> None:
    problem(house.login().ask("等不了", wait=wrong), 400, "invalid_message")
    assert house.calls("等不了") == 0


def test_a_second_question_waits_for_the_first_and_its_prompt_contains_the_answer(house: House) -> None:
    user = house.login()
    first = begin(house, user, "先问的")
    second = user.at(house.other.url).ask("后问的", conversation_id=first["conversation_id"], wait=0).json()
    assert second["status"] == "queued"
    assert user.get(f"/api/turns/{second['turn_id']}", params={"wait": 0.7}).json()["status"] == "queued"
    assert house.calls("后问的") == 0
    house.cogito.release()
    assert user.wait_final(second["turn_id"])["reply"] == "回答：后问的"
    (messages,) = house.prompts("后问的")
    assert [one["content"] for one in messages[1:]] == ["先问的", "写到一半，写完了。", "后问的"]


def test_another_conversation_need_not_wait(house: House) -> None:
    user = house.login()
    begin(house, user, "占着的")
    assert user.ask("别的话题").json()["reply"] == "回答：别的话题"


def test_five_questions_may_wait_and_the_sixth_is_refused(house: House) -> None:
    user, somebody_else = house.login(), house.login()
    conversation = begin(house, user, "挡路的")["conversation_id"]
    waiting = [user.ask(f"等着{n}", conversation_id=conversation, wait=0) for n in range(5)]
    assert [one.status_code for one in waiting] == [202] * 5
    refused = user.at(house.other.url).ask("等着5", conversation_id=conversation, wait=0)
    problem(refused, 503, "busy")
    assert somebody_else.ask("不相干").status_code == 200
    house.cogito.release()
    replies = [user.wait_final(one.json()["turn_id"])["reply"] for one in waiting]
    assert replies == [f"回答：等着{n}" for n in range(5)]
    assert house.calls("等着5") == 0
    assert user.ask("等着6", conversation_id=conversation).status_code == 200


def test_one_request_id_sent_20_times_at_once_to_two_processes_is_one_turn(house: House) -> None:
    user = house.login()
    doors = [user, user.at(house.other.url)] * 10
    answers = at_once(lambda door: door.ask("只答一次", client_request_id="r-1"), *doors)
    assert [one.status_code for one in answers] == [200] * 20
    assert len({one.json()["turn_id"] for one in answers}) == 1
    assert {one.json()["reply"] for one in answers} == {"回答：只答一次"}
    assert house.calls("只答一次") == 1
    assert len(user.get("/api/conversations").json()["conversations"]) == 1


def test_a_request_id_with_another_body_is_a_conflict(house: House) -> None:
    user = house.login()
    first = user.ask("原来的", client_request_id="r-2").json()
    for other in ({"content": "换了的"}, {"max_tokens": 7}, {"conversation_id": first["conversation_id"]}):
        body = {"content": "原来的", "client_request_id": "r-2"} | other
        problem(user.at(house.other.url).post("/api/chat", body), 409, "conflict")
    assert house.calls("换了的") == 0
    assert user.ask("原来的", client_request_id="r-2", wait=3, stream=False).json() == first


def test_a_request_id_belongs_to_its_user(house: House) -> None:
    one, two = house.login(), house.login()
    mine, theirs = one.ask("同号", client_request_id="r-3").json(), two.ask("同号", client_request_id="r-3").json()
    assert mine["turn_id"] != theirs["turn_id"]


def test_a_stream_and_its_retry_show_the_same_turn(house: House) -> None:
    user = house.login()
    house.cogito.when("断线重来", pieces=["一开始，", "后来。"], hold_at=1)
    stream = user.stream("断线重来", client_request_id="r-4")
    assert stream.until("delta")["text"] == "一开始，"
    stream.close()
    house.cogito.release()
    again = user.at(house.other.url).stream("断线重来", client_request_id="r-4").to_end()
    assert again.turn_id == stream.turn_id
    assert again.text == "一开始，后来。"
    assert house.calls("断线重来") == 1


@pytest.mark.parametrize("wrong", ["", "x" * 129, 5])
def test_a_request_id_that_makes_no_sense_is_refused(house: House, wrong: object) -> None:
    problem(house.login().ask("编号不对", client_request_id=wrong), 400, "invalid_message")


@pytest.mark.parametrize("content", ["", " \n", "<|eot_id|>", None, 5, ["a"]])
def test_a_question_has_to_be_text(house: House, content: Any) -> None:
    calls = house.cogito.calls
    problem(house.login().ask(content), 400, "invalid_message")
    assert house.cogito.calls == calls


def test_a_question_that_is_refused_begins_no_conversation(house: House) -> None:
    user = house.login()
    problem(user.ask(f"来点{BLOCKED}"), 422, "content_blocked")
    problem(user.ask("长" * 2001), 400, "invalid_message")
    assert user.get("/api/conversations").json()["conversations"] == []


def test_a_blocked_word_ends_the_answer_and_nothing_of_it_is_shown(house: House) -> None:
    user = house.login()
    house.cogito.when("问出坏词", pieces=["开头没事，", BLOCKED[:1], BLOCKED[1:], "后面"])
    problem(user.ask("问出坏词", client_request_id="r-5"), 422, "content_blocked")
    problem(user.ask("问出坏词", client_request_id="r-5"), 422, "content_blocked")
    (conversation,) = user.get("/api/conversations").json()["conversations"]
    (turn,) = user.get(f"/api/conversations/{conversation['conversation_id']}").json()["turns"]
    assert (turn["status"], turn["code"], turn["reply"]) == ("blocked", "content_blocked", "")
    assert house.row(turn["turn_id"]).answer == "开头没事，", "the log keeps what was written before the word"


def test_the_turn_row_is_the_log(house: House) -> None:
    user = house.login()
    answer = user.ask("记下来", max_tokens=99).json()
    row = house.row(answer["turn_id"])
    assert (row.question, row.answer, row.status, row.code) == ("记下来", "回答：记下来", "done", None)
    assert (row.finish_reason, row.prompt_tokens, row.completion_tokens) == ("stop", 10, 2)
    assert str(row.user_id) == user.user_id
    assert row.model == "cogito-v1-preview-llama-3b"
    assert row.prompt_version == 1
    assert row.duration_ms >= row.first_token_ms >= 0
    assert row.finished_at >= row.created_at


def test_a_word_to_mask_in_a_question_and_an_answer_is_in_the_log(house: House) -> None:
    answer = house.login().ask("暴力电影好看吗").json()
    assert answer["reply"] == "回答：**电影好看吗"
    hits = wait_until(lambda: house.row(answer["turn_id"]).hits)
    assert '"in":"question"' in hits
    assert '"in":"answer"' in hits
