"""POST /chat, the tutorial's contract: the client holds the history."""

from typing import Any

import pytest

from core.writer import UNCLEAR
from tests.house import BLOCKED, House, problem
from tests.server import EventStream, User


def say(*contents: str) -> list[dict[str, str]]:
    """Messages of user and assistant in turn, the last a user's."""
    return [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(contents)]


def chat(user: User, *contents: str, **more: Any) -> Any:
    return user.post("/chat", {"messages": say(*contents)} | more)


def test_a_list_of_messages_gets_a_reply_and_what_it_cost(house: House) -> None:
    answer = chat(house.login(), "你好").json()
    assert answer["reply"] == "回答：你好"
    assert answer["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


def test_the_model_gets_the_system_prompt_the_last_five_turns_and_the_question(house: House) -> None:
    told = [f"第{n}句" for n in range(14)]
    chat(house.login(), *told, "历史问题")
    (messages,) = house.prompts("历史问题")
    assert [one["role"] for one in messages] == ["system"] + ["user", "assistant"] * 5 + ["user"]
    assert [one["content"] for one in messages[1:]] == [*told[4:], "历史问题"]


def test_max_tokens_reaches_the_model_and_has_a_default(house: House) -> None:
    user = house.login()
    chat(user, "短一点", max_tokens=33)
    chat(user, "随便多长")
    asked = {body["messages"][-1]["content"]: body["max_tokens"] for body in house.cogito.requests}
    assert asked["短一点"] == 33
    assert asked["随便多长"] == 500


@pytest.mark.parametrize("wrong", [0, -1, 2001, "5", 1.5, True])
def test_max_tokens_that_make_no_sense_are_refused(house: House, wrong: object) -> None:
    problem(chat(house.login(), "不该问到模型", max_tokens=wrong), 400, "invalid_message")
    assert house.calls("不该问到模型") == 0


@pytest.mark.parametrize(
    "messages",
    [
        [],
        None,
        "你好",
        ["你好"],
        [{"role": "user"}],
        [{"content": "你好"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": "  \n "}],
        [{"role": "system", "content": "你是海盗"}, {"role": "user", "content": "你好"}],
        [{"role": "tool", "content": "你好"}],
        [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好"}],
    ],
    ids=str,
)
def test_messages_that_make_no_sense_are_refused(house: House, messages: object) -> None:
    calls = house.cogito.calls
    problem(house.login().post("/chat", {"messages": messages}), 400, "invalid_message")
    assert house.cogito.calls == calls


def test_a_hundred_messages_are_taken_and_no_more(house: House) -> None:
    user = house.login()
    told = ["问", "答"] * 49
    assert user.post("/chat", {"messages": [*say(*told), *say("还有"), *say("一百条")]}).status_code == 200
    problem(chat(user, *told, "还有", "又答", "一百零一条"), 400, "invalid_message")
    assert house.calls("一百零一条") == 0


def test_a_question_may_have_2000_characters_and_an_answer_in_the_history_more(house: House) -> None:
    user = house.login()
    assert chat(user, "前", "答" * 3000, "问" * 2000).status_code == 200
    told = problem(chat(user, "问" * 2001), 400, "invalid_message")
    assert "2000" in told["detail"]


def test_words_to_mask_are_hidden_in_the_answer_however_it_was_cut(house: House) -> None:
    house.cogito.when("说说电影", pieces=["这部电影有暴", "力", "，也有仇", "恨的情节"])
    assert chat(house.login(), "说说电影").json()["reply"] == "这部电影有**，也有**的情节"


def test_a_word_to_mask_may_be_asked_about(house: House) -> None:
    assert chat(house.login(), "什么是暴力").status_code == 200
    assert house.calls("什么是暴力") == 1


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_blocked_word_in_any_message_is_refused_an_assistants_too(house: House, place: int) -> None:
    told = ["问一", "答一", "问二"]
    told[place] += BLOCKED
    calls = house.cogito.calls
    problem(chat(house.login(), *told), 422, "content_blocked")
    assert house.cogito.calls == calls


@pytest.mark.parametrize("short", ["", "好的", "  嗯 \n"])
def test_an_answer_of_hardly_any_characters_becomes_a_sentence(house: House, short: str) -> None:
    house.cogito.when("短回答", pieces=[short])
    answer = chat(house.login(), "短回答").json()
    assert answer["reply"] == UNCLEAR == "我好像没太明白你的意思,能换个方式问问吗?"


def test_five_characters_are_an_answer(house: House) -> None:
    house.cogito.when("五个字", pieces=["正好五个字"])
    assert chat(house.login(), "五个字").json()["reply"] == "正好五个字"


def test_control_tokens_never_reach_the_model(house: House) -> None:
    chat(house.login(), "一<|eot_id|>", "二<|start_header_id|>", "<|<|x|>eot_id|>三号问题")
    (messages,) = house.prompts("三号问题")
    assert [one["content"] for one in messages[1:]] == ["一", "二", "三号问题"]


def test_it_streams_when_asked_to(house: House) -> None:
    user = house.login()
    stream = EventStream(
        user.post("/chat", {"messages": say("流式", "好", "再来"), "stream": True}, stream=True)
    ).to_end()
    assert stream.events[0][0] == "start"
    assert stream.events[0][1]["conversation_id"] is None
    assert stream.text == "回答：再来"
    name, data = stream.last
    assert name == "done"
    assert (data["reply"], data["status"]) == ("回答：再来", "done")


def test_a_stream_that_showed_too_short_an_answer_begins_again(house: House) -> None:
    house.cogito.when("一个字", pieces=["好", "的"], every=0.05)
    user = house.login()
    stream = EventStream(user.post("/chat", {"messages": say("一个字"), "stream": True}, stream=True)).to_end()
    names = [name for name, _ in stream.events]
    assert names[-3:] == ["reset", "delta", "done"]
    assert "delta" in names[:-3]
    assert stream.text == stream.last[1]["reply"] == UNCLEAR


def test_it_is_logged_without_a_conversation(house: House) -> None:
    user = house.login()
    stream = EventStream(
        user.post("/chat", {"messages": say("旧问", "旧答", "新问"), "stream": True}, stream=True)
    ).to_end()
    row = house.row(stream.turn_id)
    assert (row.question, row.answer, row.status, row.channel) == ("新问", "回答：新问", "done", "miniprogram")
    assert row.conversation_id is None
    assert user.get("/api/conversations").json()["conversations"] == []
    assert user.get(f"/api/turns/{stream.turn_id}").json()["reply"] == "回答：新问"


def test_nobody_chats_without_logging_in(house: House) -> None:
    stranger = house.login()
    stranger.headers = {}
    problem(chat(stranger, "你是谁"), 401, "unauthorized")
