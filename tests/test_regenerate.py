"""POST /api/turns/<id>/regenerate: a new answer to the last question of a conversation."""

import pytest

from tests.house import House, at_once, problem


def test_a_new_answer_takes_the_place_of_the_old_one(house: House) -> None:
    user = house.login()
    first = user.ask("请作诗[say:第一首诗在此]").json()
    answer = user.post(f"/api/turns/{first['turn_id']}/regenerate", {}).json()
    assert answer["reply"] == "第一首诗在此"
    assert answer["turn_id"] != first["turn_id"]
    assert answer["conversation_id"] == first["conversation_id"]
    shown = user.get(f"/api/conversations/{first['conversation_id']}").json()["turns"]
    assert [turn["turn_id"] for turn in shown] == [answer["turn_id"]]
    (listed,) = user.get("/api/conversations").json()["conversations"]
    assert listed["turns"] == 1
    assert house.row(first["turn_id"]).superseded, "it stays in the log"
    assert user.get(f"/api/turns/{first['turn_id']}").json()["reply"] == "第一首诗在此"


def test_the_model_is_told_the_new_answer_and_never_the_old_one(house: House) -> None:
    user = house.login()
    house.cogito.when("换一个说法", pieces=["旧的回答内容"])
    first = user.ask("换一个说法").json()
    house.cogito.forget()
    house.cogito.when("换一个说法", pieces=["新的回答内容"])
    second = user.post(f"/api/turns/{first['turn_id']}/regenerate", {}).json()
    assert second["reply"] == "新的回答内容"
    user.ask("然后呢，接着讲", conversation_id=first["conversation_id"])
    (messages,) = house.prompts("然后呢，接着讲")
    assert [one["content"] for one in messages[1:]] == ["换一个说法", "新的回答内容", "然后呢，接着讲"]
    asked_again = house.prompts("换一个说法")[1]
    assert [one["content"] for one in asked_again[1:]] == ["换一个说法"], "the old answer is not in its own prompt"


def test_it_streams_and_without_a_body_is_waited_for(house: House) -> None:
    user = house.login()
    first = user.ask("流式重答").json()
    response = user.post(f"/api/turns/{first['turn_id']}/regenerate", {"stream": True}, stream=True)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    body = response.content.decode()
    assert "event: delta" in body and "event: done" in body
    latest = user.get(f"/api/conversations/{first['conversation_id']}").json()["turns"][-1]["turn_id"]
    assert user.call("POST", f"/api/turns/{latest}/regenerate").json()["reply"] == "回答：流式重答"


def test_only_the_last_answer_can_be_renewed_and_only_when_it_is_finished(house: House) -> None:
    user = house.login()
    first = user.ask("第一问").json()
    talk = first["conversation_id"]
    second = user.ask("第二问[hold:1]", conversation_id=talk, wait=0).json()
    problem(user.post(f"/api/turns/{first['turn_id']}/regenerate", {}), 409, "conflict")
    problem(user.post(f"/api/turns/{second['turn_id']}/regenerate", {}), 409, "conflict")
    user.post(f"/api/turns/{second['turn_id']}/stop")
    third = user.post(f"/api/turns/{second['turn_id']}/regenerate", {"wait": 0})
    assert third.status_code == 202
    problem(user.post(f"/api/turns/{second['turn_id']}/regenerate", {}), 409, "conflict")


def test_an_answer_whose_history_the_client_holds_cannot_be_renewed(house: House) -> None:
    user = house.login()
    turn = user.post("/chat", {"messages": [{"role": "user", "content": "你好"}]}).json()
    problem(user.post(f"/api/turns/{turn['turn_id']}/regenerate", {}), 409, "conflict")


def test_what_belongs_to_others_or_was_deleted_is_not_found(house: House) -> None:
    user = house.login()
    turn = user.ask("你好呀").json()
    problem(house.login().post(f"/api/turns/{turn['turn_id']}/regenerate", {}), 404, "not_found")
    user.call("DELETE", f"/api/conversations/{turn['conversation_id']}")
    problem(user.post(f"/api/turns/{turn['turn_id']}/regenerate", {}), 404, "not_found")
    problem(user.post("/api/turns/1/regenerate", {}), 404, "not_found")


def test_a_retry_with_the_same_request_id_gets_the_same_answer(house: House) -> None:
    user = house.login()
    first = user.ask("只重答一次").json()
    body = {"client_request_id": "again"}

    def once(url: str) -> str:
        return str(user.at(url).post(f"/api/turns/{first['turn_id']}/regenerate", body).json()["turn_id"])

    ids = at_once(once, *[house.api.url, house.other.url] * 4)
    assert len(set(ids)) == 1
    assert house.calls("只重答一次") == 2
    other = user.ask("另一个问题").json()
    problem(user.post(f"/api/turns/{other['turn_id']}/regenerate", body), 409, "conflict")


@pytest.mark.parametrize("times", [8])
def test_of_those_that_renew_at_once_one_does_and_the_others_are_told(house: House, times: int) -> None:
    user = house.login()
    first = user.ask("大家一起重答").json()
    answers = at_once(lambda: user.post(f"/api/turns/{first['turn_id']}/regenerate", {}), times=times)
    assert sorted(one.status_code for one in answers) == [200] + [409] * (times - 1)
    assert house.calls("大家一起重答") == 2


def test_a_failed_answer_can_be_asked_for_again(house: House) -> None:
    user = house.login()
    house.cogito.when("会失败的问题", status=500, body="{}")
    failed = user.ask("会失败的问题", client_request_id="f")
    problem(failed, 503, "model_unavailable")
    (talk,) = user.get("/api/conversations").json()["conversations"]
    (turn,) = user.get(f"/api/conversations/{talk['conversation_id']}").json()["turns"]
    house.cogito.forget()
    assert user.post(f"/api/turns/{turn['turn_id']}/regenerate", {}).json()["reply"] == "回答：会失败的问题"
