"""A user's conversations: listed in pages, read, renamed, deleted."""

from typing import Any

import pytest

from tests.house import House, problem
from tests.server import User, wait_until


def titles(user: User, **query: Any) -> list[str]:
    return [one["title"] for one in user.get("/api/conversations", params=query).json()["conversations"]]


def pages(user: User, path: str, name: str, limit: int) -> list[list[dict[str, Any]]]:
    """All pages, as a client turns them."""
    found, before = [], None
    while True:
        page = user.get(path, params={"limit": limit} | ({"before": before} if before else {})).json()
        found.append(page[name])
        if (before := page["next"]) is None:
            return found


def test_the_latest_conversation_comes_first(house: House) -> None:
    user = house.login()
    first = user.ask("最早的").json()["conversation_id"]
    user.ask("中间的")
    user.ask("最晚的")
    assert titles(user) == ["最晚的", "中间的", "最早的"]
    user.ask("再聊聊", conversation_id=first)
    assert titles(user) == ["最早的", "最晚的", "中间的"]
    (one, *_) = user.get("/api/conversations").json()["conversations"]
    assert (one["conversation_id"], one["turns"]) == (first, 2)
    assert one["updated_at"].endswith("Z")


def test_a_title_is_the_first_line_of_the_question_made_short(house: House) -> None:
    user = house.login()
    user.ask("  第一行\n第二行")
    user.ask("长" * 50)
    assert titles(user) == ["长" * 29 + "…", "第一行"]


def test_conversations_come_in_pages_without_loss_or_repetition(house: House) -> None:
    user = house.login()
    for n in range(7):
        user.ask(f"第{n}个")
    found = pages(user, "/api/conversations", "conversations", 3)
    assert [len(page) for page in found] == [3, 3, 1]
    assert [one["title"] for page in found for one in page] == [f"第{n}个" for n in range(6, -1, -1)]
    assert len(pages(user, "/api/conversations", "conversations", 7)[0]) == 7


def test_turns_come_in_pages_the_newest_page_first_and_each_in_order(house: House) -> None:
    user = house.login()
    conversation = user.ask("第0问").json()["conversation_id"]
    for n in range(1, 5):
        user.ask(f"第{n}问", conversation_id=conversation)
    found = pages(user, f"/api/conversations/{conversation}", "turns", 2)
    assert [[turn["question"] for turn in page] for page in found] == [
        ["第3问", "第4问"],
        ["第1问", "第2问"],
        ["第0问"],
    ]
    turn = found[0][0]
    assert (turn["reply"], turn["status"], turn["code"]) == ("回答：第3问", "done", None)
    assert user.get(f"/api/turns/{turn['turn_id']}").json()["question"] == "第3问"


@pytest.mark.parametrize("path", ["/api/conversations", "/api/conversations/{}"])
@pytest.mark.parametrize("before", ["x", "1.2.3", "-1", "9" * 19, f"{'9' * 19}.1", f"1.{'9' * 19}", "٣.٣", "%00"])
def test_a_page_mark_that_is_none_of_ours_is_refused(house: House, path: str, before: str) -> None:
    user = house.login()
    conversation = user.ask("翻页").json()["conversation_id"]
    problem(user.get(path.format(conversation), params={"before": before}), 400, "invalid_message")


@pytest.mark.parametrize("limit", ["x", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(house: House, limit: str) -> None:
    problem(house.login().get("/api/conversations", params={"limit": limit}), 400, "invalid_message")


def test_a_conversation_is_renamed(house: House) -> None:
    user = house.login()
    conversation = user.ask("旧名字").json()["conversation_id"]
    assert user.call("PUT", f"/api/conversations/{conversation}", json={"title": "  新名字 "}).status_code == 204
    assert titles(user) == ["新名字"]


@pytest.mark.parametrize("title", ["", "  ", "长" * 101, None, 5])
def test_a_name_that_makes_no_sense_is_refused(house: House, title: object) -> None:
    user = house.login()
    path = f"/api/conversations/{user.ask('好名字').json()['conversation_id']}"
    problem(user.call("PUT", path, json={"title": title}), 400, "invalid_message")
    assert titles(user) == ["好名字"]


def test_a_deleted_conversation_is_gone_in_every_process_and_kept_in_the_log(house: House) -> None:
    user = house.login()
    kept = user.ask("留下的").json()
    gone = user.ask("要删的").json()
    path = f"/api/conversations/{gone['conversation_id']}"
    assert user.call("DELETE", path).status_code == 204
    for api in house.apis:
        where = user.at(api.url)
        assert titles(where) == ["留下的"]
        for response in (
            where.get(path),
            where.call("PUT", path, json={"title": "回来"}),
            where.call("DELETE", path),
            where.get(f"/api/turns/{gone['turn_id']}"),
            where.get(f"/api/turns/{gone['turn_id']}/stream"),
            where.post(f"/api/turns/{gone['turn_id']}/stop"),
            where.ask("还在吗", conversation_id=gone["conversation_id"]),
        ):
            problem(response, 404, "not_found")
    assert house.row(gone["turn_id"]).answer == "回答：要删的"
    assert user.get(f"/api/turns/{kept['turn_id']}").json()["reply"] == "回答：留下的"


@pytest.mark.parametrize("door", [0, 1], ids=["here", "from another process"])
@pytest.mark.parametrize("everything", [False, True], ids=["one", "all"])
def test_deleting_stops_what_is_being_written_and_what_waits(house: House, door: int, everything: bool) -> None:
    user, aborted, question = house.login(), house.cogito.aborted, f"删了就停{door}{everything}"
    house.cogito.when(question, pieces=["写到一半，", "写完了。"], hold_at=1)
    stream = user.stream(question)
    conversation = stream.until("start")["conversation_id"]
    stream.until("delta")
    waiting = user.ask(f"排队{question[-2:]}", conversation_id=conversation, wait=0).json()["turn_id"]
    path = "/api/conversations" if everything else f"/api/conversations/{conversation}"
    assert user.at(house.apis[door].url).call("DELETE", path).status_code == 204
    house.cogito.wait_for(lambda: house.cogito.aborted == aborted + 1, 1)
    assert stream.to_end().last[1]["status"] == "stopped"
    statuses = [wait_until(lambda one=one: final(house, one)) for one in (stream.turn_id, waiting)]
    assert statuses == ["stopped", "stopped"]
    assert house.calls(question) == 1


def final(house: House, turn_id: str) -> str | None:
    status: str = house.row(turn_id).status
    return None if status in ("queued", "answering") else status


def test_clearing_takes_all_of_this_user_and_nothing_of_another(house: House) -> None:
    user, neighbour = house.login(), house.login()
    for who in (user, neighbour):
        who.ask("一号")
        who.ask("二号")
    assert user.call("DELETE", "/api/conversations").status_code == 204
    assert titles(user.at(house.other.url)) == []
    assert titles(neighbour) == ["二号", "一号"]
    user.ask("重新开始")
    assert titles(user) == ["重新开始"]
