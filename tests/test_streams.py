"""The event stream: what it shows, how it is resumed, and that leaving it stops nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from core.answers import Cursor, LiveAnswer, State
from core.tables import new_id
from core.writer import UNCLEAR
from tests.house import BLOCKED, House, at_once, problem
from tests.server import EventStream, User
from wechat import events


def answer_in(house: House, question: str, *pieces: str, **script: Any) -> None:
    house.cogito.when(question, pieces=list(pieces), **script)


def names(stream: EventStream) -> list[str]:
    return [name for name, _ in stream.events]


def test_a_stream_is_start_then_deltas_then_done(house: House) -> None:
    user = house.login()
    answer_in(house, "流着写", "一二三", "四五六", "七八九", every=0.05)
    stream = user.stream("流着写").to_end()
    first, *deltas, last = names(stream)
    assert (first, set(deltas), last) == ("start", {"delta"}, "done")
    assert len(deltas) <= 3  # one that is late joins the next
    start, done = stream.events[0][1], stream.events[-1][1]
    assert start == {"conversation_id": start["conversation_id"], "turn_id": stream.turn_id}
    assert user.get(f"/api/conversations/{start['conversation_id']}").status_code == 200
    assert stream.text == done["reply"] == "一二三四五六七八九"
    assert (done["finish_reason"], done["status"]) == ("stop", "done")
    assert done["usage"] == {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}


def test_the_first_words_come_while_the_rest_is_not_written(house: House) -> None:
    answer_in(house, "先看开头", "开头，", "结尾。", hold_at=1)
    stream = house.login().stream("先看开头")
    assert stream.until("delta")["text"] == "开头，"
    assert house.cogito.active == 1
    house.cogito.release()
    assert stream.to_end().text == "开头，结尾。"


def test_its_headers_keep_proxies_from_holding_it_back(house: House) -> None:
    response = house.login().post("/api/chat", {"content": "看看头", "stream": True}, stream=True)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Request-Id"]
    EventStream(response).to_end()


def test_every_event_has_a_name_an_id_and_one_line_of_json(house: House) -> None:
    answer_in(house, "看字节", "第一行\n第二行", "\r\n第三行", '"引号"')
    response = house.login().post("/api/chat", {"content": "看字节", "stream": True}, stream=True)
    for event in response.content.decode().removesuffix("\n\n").split("\n\n"):
        lines = [line.partition(": ") for line in event.split("\n")]
        assert [name for name, _, _ in lines] == ["event", "id", "data"]
        assert lines[1][2]
        assert isinstance(json.loads(lines[2][2]), dict)


def test_characters_split_over_bytes_arrive_whole(house: House) -> None:
    answer_in(house, "逐字节", "你好😀，", "世界。", split=1)
    assert house.login().stream("逐字节").to_end().text == "你好😀，世界。"


def test_reasoning_has_events_of_its_own_before_the_text(house: House) -> None:
    answer_in(house, "边想边写", "<think>想一", "想</think>", "这是回答。", every=0.05)
    stream = house.login().stream("边想边写", thinking=True).to_end()
    assert (stream.reasoning, stream.text) == ("想一想", "这是回答。")
    assert names(stream).index("delta") > max(n for n, name in enumerate(names(stream)) if name == "reasoning")


def test_a_masked_word_is_never_seen_in_a_delta(house: House) -> None:
    answer_in(house, "有坏词吗", "他反对暴", "力行为，", "也反对仇", "恨。", every=0.05)
    stream = house.login().stream("有坏词吗").to_end()
    assert stream.text == stream.last[1]["reply"] == "他反对**行为，也反对**。"
    assert all("暴" not in str(data) and "仇" not in str(data) for _, data in stream.events)


def test_a_blocked_word_ends_in_an_error_and_later_reads_give_nothing(house: House) -> None:
    user = house.login()
    answer_in(house, "半路坏词", "这一句没事。", BLOCKED[0], BLOCKED[1:] + "在这里", every=0.05)
    stream = user.stream("半路坏词").to_end()
    name, data = stream.last
    assert (name, data["code"]) == ("error", "content_blocked")
    assert stream.text == "", "a reset took back what was shown"
    assert BLOCKED not in str(stream.events)
    for where in (user, user.at(house.other.url)):
        assert where.get(f"/api/turns/{stream.turn_id}").json()["reply"] == ""
        assert where.resume(stream.turn_id).to_end().text == ""


def test_an_answer_too_short_is_taken_back_by_a_reset(house: House) -> None:
    answer_in(house, "太短了", "好", "的", every=0.05)
    stream = house.login().stream("太短了").to_end()
    assert names(stream)[-3:] == ["reset", "delta", "done"]
    assert stream.text == stream.last[1]["reply"] == UNCLEAR


def test_a_refusal_comes_as_an_ordinary_problem(house: House) -> None:
    refused = house.login().post("/api/chat", {"content": BLOCKED, "stream": True})
    problem(refused, 422, "content_blocked")


def test_a_failure_after_the_first_byte_is_an_event(house: House) -> None:
    user = house.login()
    answer_in(house, "写着断了", "写了一些，", "再也没有", cut_at=1)
    stream = user.stream("写着断了").to_end()
    name, data = stream.last
    assert (name, data["code"]) == ("error", "model_error")
    assert data["detail"].startswith("解析 AI 响应时出错")
    assert stream.text == "写了一些，"
    assert house.row(stream.turn_id).answer == "写了一些，", "the half answer is kept"


@pytest.fixture
def finished(house: House) -> tuple[User, EventStream]:
    user = house.login()
    answer_in(house, "可以续看", "<think>想", "了想</think>", "第一句，", "第二句，", "第三句。", every=0.03)
    return user, user.stream("可以续看", thinking=True).to_end()


@pytest.mark.parametrize("way", ["after", "Last-Event-ID"])
def test_from_any_event_on_a_stream_resumes_without_loss_or_repetition(
    house: House, finished: tuple[User, EventStream], way: str
) -> None:
    user, stream = finished
    raw = user.resume(stream.turn_id).to_end()
    assert (raw.text, raw.reasoning) == (stream.text, stream.reasoning) == ("第一句，第二句，第三句。", "想了想")
    for seen in range(1, len(stream.events)):
        text = "".join(data["text"] for name, data in stream.events[:seen] if name == "delta")
        reasoning = "".join(data["text"] for name, data in stream.events[:seen] if name == "reasoning")
        cursor = stream.cursors[seen - 1]
        path, where = f"/api/turns/{stream.turn_id}/stream", user.at(house.other.url)
        if way == "after":
            response = where.get(path, params={"after": cursor}, stream=True)
        else:
            where.headers = where.headers | {"Last-Event-ID": cursor}
            response = where.get(path, stream=True)
        rest = EventStream(response).to_end()
        assert "reset" not in names(rest)
        assert (text + rest.text, reasoning + rest.reasoning) == (stream.text, stream.reasoning)


def test_a_dropped_stream_goes_on_and_can_be_read_elsewhere(house: House) -> None:
    user, aborted = house.login(), house.cogito.aborted
    answer_in(house, "断了的流", "一，", "二，", "三，", "四。", hold_at=2)
    stream = user.stream("断了的流")
    while stream.text != "一，二，":
        next(iter(stream))
    stream.close()
    other = user.at(house.other.url)
    resumed = other.resume(stream.turn_id, stream.cursor)
    assert resumed.until("start")["turn_id"] == stream.turn_id
    house.cogito.release()
    assert stream.text + resumed.to_end().text == "一，二，三，四。"
    assert "reset" not in names(resumed)
    assert user.get(f"/api/turns/{stream.turn_id}").json()["reply"] == "一，二，三，四。"
    house.cogito.wait_for(lambda: house.cogito.active == 0)
    assert house.cogito.aborted == aborted


def test_many_readers_in_two_processes_see_the_same_text(house: House) -> None:
    user = house.login()
    answer_in(house, "大家都看", *[f"第{n}段，" for n in range(20)], every=0.05, hold_at=1)
    turn_id = user.ask("大家都看", wait=0).json()["turn_id"]
    readers = [user.at(api.url).resume(turn_id) for api in house.apis for _ in range(4)]
    house.cogito.release()
    texts = {stream.text for stream in at_once(EventStream.to_end, *readers)}
    assert texts == {"".join(f"第{n}段，" for n in range(20))}


def test_an_eleventh_stream_of_a_user_is_refused_and_asks_nothing(house: House) -> None:
    user, somebody_else = house.login(), house.login()
    answer_in(house, "十个在看", "开始，", "结束。", hold_at=1)
    streams = [user.stream("十个在看")]
    streams += [user.resume(streams[0].turn_id or streams[0].until("start")["turn_id"]) for _ in range(9)]
    problem(user.post("/api/chat", {"content": "第十一个", "stream": True}), 503, "busy")
    problem(user.get(f"/api/turns/{streams[0].turn_id}/stream"), 503, "busy")
    assert house.calls("第十一个") == 0
    assert user.ask("不流的可以").status_code == 200
    assert somebody_else.stream("别人可以").to_end().text == "回答：别人可以"
    house.cogito.release()
    assert {stream.text for stream in at_once(EventStream.to_end, *streams)} == {"开始，结束。"}
    assert user.stream("又可以了").to_end().text == "回答：又可以了"


def test_what_was_refused_or_only_looked_at_holds_no_stream(house: House) -> None:
    user = house.login()
    turn_id = user.ask("占不住").json()["turn_id"]
    for _ in range(11):
        problem(user.post("/api/chat", {"content": "", "stream": True}), 400, "invalid_message")
        problem(user.get("/api/turns/1/stream"), 404, "not_found")
        assert user.call("HEAD", f"/api/turns/{turn_id}/stream").status_code == 200
    assert user.resume(turn_id).to_end().text == "回答：占不住"


class Row:
    """A turn's row, as far as a stream looks at it."""

    id = new_id()
    conversation_id = None
    version = attempt = 0
    status = "queued"
    code = finish_reason = prompt_tokens = completion_tokens = None
    answer = reasoning = ""


def test_a_comment_shows_that_a_silent_line_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    assert events.SILENCE_SECONDS == 15
    monkeypatch.setattr(events, "SILENCE_SECONDS", 0.01)
    answer = LiveAnswer(Row())
    told: Iterator[bytes] = events.events(answer, Cursor())
    assert next(told).startswith(b"event: start\n")
    for _ in range(3):
        comment = next(told)
        assert comment.startswith(b":")
        assert comment.endswith(b"\n\n")
    answer.change(State(1, "answering", text="来了"))
    assert b"event: delta" in next(told)


def test_a_stream_ends_without_done_when_its_process_ends() -> None:
    answer = LiveAnswer(Row())
    told = events.events(answer, Cursor())
    next(told)
    answer.interrupt()
    assert list(told) == []


def test_a_reader_of_another_attempt_is_told_to_begin_again() -> None:
    answer = LiveAnswer(Row())
    answer.change(State(2, "answering", text="重新写的"))
    told = events.events(answer, Cursor(1, 0, 5))
    next(told)
    assert next(told).split(b"\n")[0::4] == [b"event: reset", b"event: delta", b""]
