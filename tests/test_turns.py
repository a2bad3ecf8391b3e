"""One turn: looked at from a cursor on, stopped, and nobody else's business."""

import threading
import time
from typing import Any

import pytest

from core.store import users
from core.writer import UNCLEAR
from tests.house import House, at_once, problem
from tests.server import User, wait_until


def begin(house: House, user: User, question: str, *pieces: str, hold_at: int = 1, **more: Any) -> str:
    """Ask what the model will hold in the midst; the id of the turn being written."""
    pieces = pieces or ("写到一半，", "写完了。")
    house.cogito.when(question, pieces=list(pieces), hold_at=hold_at)
    turn_id: str = user.ask(question, wait=0, **more).json()["turn_id"]
    house.called(question)
    return turn_id


def look(user: User, turn_id: str, after: str = "", wait: float = 0) -> dict[str, Any]:
    response = user.get(f"/api/turns/{turn_id}", params={"after": after, "wait": wait})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def written(user: User, turn_id: str) -> dict[str, Any]:
    """The turn, once anything of its answer can be seen."""
    return wait_until(lambda: (seen := look(user, turn_id, wait=1))["reply"] and seen)  # type: ignore[no-any-return]


# Looking


def test_a_turn_tells_everything_about_itself(house: House) -> None:
    user = house.login()
    answer = user.ask("全部告诉我").json()
    turn = look(user, answer["turn_id"])
    assert turn.pop("next")
    assert turn.pop("created_at").endswith("Z")
    assert turn == {
        "turn_id": answer["turn_id"],
        "conversation_id": answer["conversation_id"],
        "status": "done",
        "question": "全部告诉我",
        "reply": "回答：全部告诉我",
        "reasoning": "",
        "reset": False,
        "code": None,
        "detail": None,
        "finish_reason": "stop",
        "rating": None,
        "usage": answer["usage"],
    }


@pytest.mark.parametrize("door", [0, 1])
def test_cursor_by_cursor_the_text_grows_to_the_reply(house: House, door: int) -> None:
    user = house.login()
    pieces = ["<think>先想", "再想</think>", *[f"第{n}句，" for n in range(12)]]
    turn_id = begin(house, user, f"一点一点看{door}", *pieces, thinking=True)
    threading.Timer(0.1, house.cogito.release).start()
    reader, cursor, text, reasoning, status = user.at(house.apis[door].url), "", "", "", ""
    while status not in ("done", "failed"):
        turn = look(reader, turn_id, after=cursor, wait=5)
        assert turn["reset"] is False
        cursor, status = turn["next"], turn["status"]
        text, reasoning = text + turn["reply"], reasoning + turn["reasoning"]
    whole = look(user, turn_id)
    assert text == whole["reply"] == "".join(pieces[2:])
    assert reasoning == whole["reasoning"] == "先想再想"
    nothing = look(reader, turn_id, after=cursor)
    assert (nothing["reply"], nothing["reasoning"], nothing["next"]) == ("", "", cursor)


def test_a_look_waits_for_news_and_no_longer(house: House) -> None:
    user = house.login()
    turn_id = begin(house, user, "等新的")
    cursor = written(user, turn_id)["next"]
    began = time.monotonic()
    assert look(user, turn_id, after=cursor, wait=0.4)["reply"] == ""
    assert 0.4 <= time.monotonic() - began < 5
    threading.Timer(0.2, house.cogito.release).start()
    began = time.monotonic()
    assert look(user, turn_id, after=cursor, wait=9)["reply"] == "写完了。"
    assert time.monotonic() - began < 5


def test_what_was_replaced_is_told_as_a_reset(house: House) -> None:
    user = house.login()
    turn_id = begin(house, user, "会被换掉", "好", "的")
    seen = written(user, turn_id)
    assert seen["reply"] == "好"
    house.cogito.release()
    turn = user.wait_final(turn_id) | look(user, turn_id, after=seen["next"])
    assert turn["reset"] is True
    assert turn["reply"] == UNCLEAR
    assert look(user, turn_id)["reset"] is False, "who has seen nothing has nothing to take back"


@pytest.mark.parametrize("cursor", ["x", "1", "1.2", "1.2.3.4", "-1.0.0", "1.0.٣", "1.0.99999999999", "1.0.0 "])
def test_a_cursor_that_is_none_of_ours_is_refused(house: House, cursor: str) -> None:
    user = house.login()
    turn_id = user.ask("游标不对").json()["turn_id"]
    problem(user.get(f"/api/turns/{turn_id}", params={"after": cursor}), 400, "invalid_message")
    problem(user.get(f"/api/turns/{turn_id}/stream", params={"after": cursor}), 400, "invalid_message")


@pytest.mark.parametrize("wait", ["x", "-1", "nan", "inf"])
def test_a_wait_that_is_no_number_of_seconds_is_refused(house: House, wait: str) -> None:
    user = house.login()
    turn_id = user.ask("等多久").json()["turn_id"]
    problem(user.get(f"/api/turns/{turn_id}", params={"wait": wait}), 400, "invalid_message")


# Stopping


@pytest.mark.parametrize("door", [0, 1], ids=["here", "from another process"])
def test_stop_keeps_what_was_written_and_leaves_the_model_within_a_second(house: House, door: int) -> None:
    user, aborted = house.login(), house.cogito.aborted
    turn_id = begin(house, user, f"停下{door}")
    assert written(user, turn_id)["reply"] == "写到一半，"
    stopping = threading.Thread(
        target=lambda: answers.append(user.at(house.apis[door].url).post(f"/api/turns/{turn_id}/stop"))
    )
    answers: list[Any] = []
    stopping.start()
    house.cogito.wait_for(lambda: house.cogito.aborted == aborted + 1, 1)
    stopping.join()
    assert answers[0].status_code == 200
    stopped = answers[0].json()
    assert (stopped["turn_id"], stopped["status"], stopped["reply"]) == (turn_id, "stopped", "写到一半，")
    for api in house.apis:
        turn = look(user.at(api.url), turn_id, after=stopped["next"])
        assert (turn["status"], turn["reply"], turn["reset"], turn["code"]) == ("stopped", "", False, None)
    row = house.row(turn_id)
    assert (row.status, row.answer, row.code) == ("stopped", "写到一半，", None)


def test_a_stream_of_a_stopped_answer_ends_in_done(house: House) -> None:
    user = house.login()
    turn_id = begin(house, user, "流里停")
    streams = [user.at(api.url).resume(turn_id) for api in house.apis]
    for stream in streams:
        stream.until("delta")
    user.post(f"/api/turns/{turn_id}/stop")
    for stream in streams:
        name, data = stream.to_end().last
        assert (name, data["status"], data["reply"], stream.text) == ("done", "stopped", "写到一半，", "写到一半，")


@pytest.mark.parametrize("place", [-1, 0], ids=["before the headers", "before the first token"])
def test_an_answer_is_stopped_before_its_first_word(house: House, place: int) -> None:
    user, aborted = house.login(), house.cogito.aborted
    turn_id = begin(house, user, f"还没开口{place}", hold_at=place)
    assert user.post(f"/api/turns/{turn_id}/stop").json()["status"] == "stopped"
    house.cogito.wait_for(lambda: house.cogito.aborted == aborted + 1, 1)
    assert look(user, turn_id)["reply"] == "", "a stopped answer is no answer that was too short"


@pytest.mark.parametrize("door", [0, 1])
def test_a_waiting_question_is_stopped_before_the_model_hears_of_it(house: House, door: int) -> None:
    user = house.login()
    first = begin(house, user, f"前面的{door}")
    conversation = look(user, first)["conversation_id"]
    waiting = user.ask(f"排着队{door}", conversation_id=conversation, wait=0).json()["turn_id"]
    stopped = user.at(house.apis[door].url).post(f"/api/turns/{waiting}/stop").json()
    assert (stopped["status"], stopped["reply"]) == ("stopped", "")
    house.cogito.release()
    assert user.wait_final(first)["status"] == "done"
    assert user.ask(f"接着问{door}", conversation_id=conversation).status_code == 200
    assert house.calls(f"排着队{door}") == 0


def test_the_question_behind_a_stopped_one_is_answered(house: House) -> None:
    user = house.login()
    first = begin(house, user, "要停的")
    conversation = look(user, first)["conversation_id"]
    waiting = user.ask("后面那个", conversation_id=conversation, wait=0).json()["turn_id"]
    assert written(user, first)
    user.post(f"/api/turns/{first}/stop")
    assert user.wait_final(waiting)["reply"] == "回答：后面那个"
    (messages,) = house.prompts("后面那个")
    assert [one["content"] for one in messages[1:]] == ["要停的", "写到一半，", "后面那个"]


def test_stopping_what_has_ended_changes_nothing(house: House) -> None:
    user = house.login()
    turn_id = user.ask("已经写完").json()["turn_id"]
    for api in house.apis:
        stopped = user.at(api.url).post(f"/api/turns/{turn_id}/stop").json()
        assert (stopped["status"], stopped["reply"]) == ("done", "回答：已经写完")


def test_many_stops_at_once_are_one(house: House) -> None:
    user, aborted = house.login(), house.cogito.aborted
    turn_id = begin(house, user, "连点停止")
    assert written(user, turn_id)
    doors = [user.at(api.url) for api in house.apis for _ in range(5)]
    told = at_once(lambda door: door.post(f"/api/turns/{turn_id}/stop").json(), *doors)
    assert {(one["status"], one["reply"]) for one in told} == {("stopped", "写到一半，")}
    assert house.cogito.aborted == aborted + 1


# Somebody else's


@pytest.mark.parametrize("door", [0, 1])
def test_what_belongs_to_another_user_does_not_exist(house: House, door: int) -> None:
    owner, stranger = house.login(), house.login().at(house.apis[door].url)
    turn_id = begin(house, owner, f"我的秘密{door}")
    conversation_id = look(owner, turn_id)["conversation_id"]
    for method, path, body in (
        ("GET", f"/api/turns/{turn_id}", None),
        ("GET", f"/api/turns/{turn_id}/stream", None),
        ("POST", f"/api/turns/{turn_id}/stop", None),
        ("GET", f"/api/conversations/{conversation_id}", None),
        ("PUT", f"/api/conversations/{conversation_id}", {"title": "改掉"}),
        ("DELETE", f"/api/conversations/{conversation_id}", None),
        ("POST", "/api/chat", {"content": "插一句", "conversation_id": conversation_id}),
    ):
        theirs = problem(stranger.call(method, path, json=body), 404, "not_found")
        absent = path.replace(turn_id, "77").replace(conversation_id, "77")
        if body and "conversation_id" in body:
            body = body | {"conversation_id": "77"}
        nothing = problem(stranger.call(method, absent, json=body), 404, "not_found")
        assert theirs | {"request_id": ""} == nothing | {"request_id": ""}
    assert stranger.get("/api/conversations").json()["conversations"] == []
    house.cogito.release()
    assert owner.wait_final(turn_id)["reply"] == "写到一半，写完了。"
    assert house.calls("插一句") == 0


@pytest.mark.parametrize("name", ["abc", "0", "-1", "1.5", "٣", "9" * 18, "9" * 19, str(1 << 63), "9" * 400, "%00"])
def test_an_id_that_can_be_none_is_not_found(house: House, name: str) -> None:
    user = house.login()
    for method, path in (
        ("GET", f"/api/turns/{name}"),
        ("GET", f"/api/turns/{name}/stream"),
        ("POST", f"/api/turns/{name}/stop"),
        ("GET", f"/api/conversations/{name}"),
        ("DELETE", f"/api/conversations/{name}"),
    ):
        problem(user.call(method, path), 404, "not_found")
    problem(user.ask("哪个会话", conversation_id=name), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/me"),
        ("POST", "/chat"),
        ("POST", "/api/chat"),
        ("GET", "/api/turns/1"),
        ("GET", "/api/turns/1/stream"),
        ("POST", "/api/turns/1/stop"),
        ("GET", "/api/conversations"),
        ("GET", "/api/conversations/1"),
        ("PUT", "/api/conversations/1"),
        ("DELETE", "/api/conversations/1"),
        ("DELETE", "/api/conversations"),
    ],
)
def test_without_a_good_token_nothing_is_told(house: House, method: str, path: str) -> None:
    user = house.login()
    for header in ("", "Bearer", "Bearer ", "Basic abc", f"Basic {user.token}", "Bearer x", f"Bearer {user.token}x"):
        user.headers = {"Authorization": header} if header else {}
        response = user.call(method, path, json={})
        problem(response, 401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_user_whom_staff_block_is_refused_everywhere_at_once(house: House) -> None:
    user = house.login()
    assert user.get("/api/me").status_code == 200
    house.database.write(block, int(user.user_id), "骂人")
    for api in house.apis:
        where = user.at(api.url)
        for response in (where.get("/api/me"), where.ask("放我进来"), where.get("/api/conversations")):
            told = problem(response, 403, "user_blocked")
            assert "骂人" not in told["detail"]
    house.database.write(block, int(user.user_id), None)
    assert user.ask("回来了").status_code == 200
    assert house.calls("放我进来") == 0


def block(connection: Any, user_id: int, reason: str | None) -> None:
    """What the console will do (there is no function of the store for it yet)."""
    table = users.UserRow.__table__
    connection.execute(table.update().where(table.c.id == user_id).values(blocked=reason))
