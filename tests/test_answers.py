import gc
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from core.answers import Answers, Cursor, LiveAnswer, Look, State
from core.errors import ContentBlocked, InvalidMessage, ModelError, ModelTimeout
from tests.server import wait_until
from tests.stores import in_threads


@dataclass(frozen=True)
class Row:
    """A row of `turns`, as far as an answer looks at it."""

    id: int = 1
    status: str = "answering"
    attempt: int = 1
    version: int = 0
    answer: str = ""
    reasoning: str = ""
    code: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def writing(**state: Any) -> LiveAnswer:
    answer = LiveAnswer(Row())
    answer.change(State(1, "answering", **state))
    return answer


# ---- Cursors


@pytest.mark.parametrize("cursor", [Cursor(), Cursor(1, 2, 3), Cursor(20, 123456789, 999999999)])
def test_a_cursor_survives_the_way_to_the_client_and_back(cursor: Cursor) -> None:
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_cursor_is_the_beginning(nothing: str | None) -> None:
    assert Cursor.parse(nothing) == Cursor(0, 0, 0)


@pytest.mark.parametrize(
    "forged", ["1", "1.2", "1.2.3.4", "-1.0.0", "1.2.x", "1..3", "１.2.3", "1.2.3 ", "1.2." + "9" * 5000, "²2.1.1"]
)
def test_a_cursor_we_never_gave_is_refused(forged: str) -> None:
    with pytest.raises(InvalidMessage):
        Cursor.parse(forged)


# ---- Looking


def test_who_looks_without_a_cursor_sees_everything() -> None:
    look = writing(reasoning="想", text="你好").look()
    assert (look.reasoning, look.text, look.next, look.reset) == ("想", "你好", Cursor(1, 1, 2), False)
    assert look.news and not look.final


def test_who_looks_from_a_cursor_sees_what_came_after_it() -> None:
    answer = writing(text="你好")
    first = answer.look()
    assert not answer.look(first.next).news
    answer.change(answer.state._replace(text="你好，世界", reasoning="想"))
    look = answer.look(first.next)
    assert (look.reasoning, look.text, look.reset) == ("想", "，世界", False)
    assert look.next == Cursor(1, 1, 5)


def test_another_attempt_makes_void_what_was_shown() -> None:
    answer = writing(reasoning="想", text="旧的")
    seen = answer.look().next
    answer.change(State(2, "answering"))
    look = answer.look(seen)
    assert look.reset and look.news and (look.text, look.next) == ("", Cursor(2, 0, 0))
    answer.change(State(2, "answering", text="新的一段"))
    late = answer.look(seen)  # who missed the moment is told all the same
    assert late.reset and late.text == "新的一段"
    assert not answer.look(late.next).reset


def test_another_attempt_is_no_news_to_who_has_seen_nothing() -> None:
    answer = LiveAnswer(Row(status="queued", attempt=0))
    seen = answer.look().next
    answer.change(State(1, "answering"))
    look = answer.look(seen)
    assert not look.reset and not look.news
    answer.change(State(1, "answering", text="你好"))
    assert (answer.look(seen).text, answer.look(seen).reset) == ("你好", False)


def test_a_reader_who_has_seen_more_than_we_know_is_not_sent_back() -> None:
    """Another process shows what it writes at once; here it arrives with the next tick."""
    answer = writing(text="你好")
    ahead = answer.look(Cursor(1, 0, 4))
    assert (ahead.text, ahead.next, ahead.news) == ("", Cursor(1, 0, 4), False)
    answer.change(answer.state._replace(text="你好，世界"))
    assert answer.look(ahead.next).text == "界"


def test_a_cursor_beyond_the_end_of_what_is_final_comes_back_to_it() -> None:
    answer = writing(text="你好")
    answer.change(answer.state._replace(status="done"))
    look = answer.look(Cursor(1, 7, 99))
    assert (look.text, look.reasoning, look.next) == ("", "", Cursor(1, 0, 2))


def test_the_text_of_a_blocked_answer_is_shown_to_nobody() -> None:
    answer = LiveAnswer(Row(status="blocked", answer="不该看到", reasoning="也不该", code="content_blocked"))
    look = answer.look()
    assert (look.text, look.reasoning, look.final) == ("", "", True)
    assert isinstance(answer.error, ContentBlocked)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        ("failed", "model_timeout", ModelTimeout),
        ("failed", "unheard of", ModelError),
        ("blocked", "content_blocked", ContentBlocked),
        ("done", None, None),
        ("stopped", None, None),
        ("answering", None, None),
    ],
)
def test_an_answer_that_failed_tells_with_what(status: str, code: str | None, error: type[Exception] | None) -> None:
    answer = LiveAnswer(Row(status=status, code=code))
    assert type(answer.error) is (error or type(None))


# ---- Waiting


def test_who_waits_is_woken_by_the_next_change() -> None:
    answer = writing()
    looks: list[Look] = []
    waiter = threading.Thread(target=lambda: looks.append(answer.wait(Cursor(), 30)), daemon=True)
    waiter.start()
    answer.change(answer.state._replace(text="你好"))
    waiter.join(5)
    assert [look.text for look in looks] == ["你好"]


def test_who_asks_for_what_is_there_does_not_wait() -> None:
    answer = writing(text="你好")
    in_threads(lambda: answer.wait(Cursor(), 10**6))
    answer.change(State(1, "done", text="你好"))
    in_threads(lambda: answer.wait(answer.look().next, 10**6))  # there will be nothing more


def test_a_change_without_news_wakes_nobody_for_good() -> None:
    answer = writing(text="你好")
    looks: list[Look] = []
    waiter = threading.Thread(target=lambda: looks.append(answer.wait(answer.look().next, 30)), daemon=True)
    waiter.start()
    for _ in range(3):
        answer.change(answer.state._replace(prompt_tokens=1))
    assert not looks
    answer.change(answer.state._replace(text="你好！"))
    waiter.join(5)
    assert [look.text for look in looks] == ["！"]


def test_who_has_waited_long_enough_goes_with_nothing() -> None:
    answer = writing(text="你好")
    look = answer.wait(answer.look().next, 0.01)
    assert not look.news and look.next == Cursor(1, 0, 2)
    assert not answer.wait_until_final(0.01)
    assert not answer.wait_until_final(-1)


@pytest.mark.parametrize("status", ["done", "stopped", "failed", "blocked"])
def test_the_end_wakes_everyone(status: str) -> None:
    answer = writing()

    def end() -> None:
        answer.change(State(1, status))

    finals = [partial(answer.wait_until_final, 30)] * 5
    looks = [partial(answer.wait, Cursor(), 30)] * 5
    results = in_threads(*finals, *looks, end)
    assert results[:5] == [True] * 5
    assert all(look.final for look in results[5:10])


class Hasty(LiveAnswer):
    """Changes in the very moment in which somebody has looked and is about to wait."""

    def look(self, cursor: Cursor = Cursor()) -> Look:  # noqa: B008 (immutable)
        look = super().look(cursor)
        if not look.state.text:
            self.change(State(1, "answering", text="你好"))
        return look

    @property
    def final(self) -> bool:
        final = super().final
        if not final:
            self.change(State(1, "done"))
        return final


def test_a_change_between_looking_and_waiting_is_not_missed() -> None:
    began = time.monotonic()
    assert Hasty(Row()).wait(Cursor(), 5).text == "你好"
    assert Hasty(Row()).wait_until_final(5)
    assert time.monotonic() - began < 4


def test_an_interrupted_answer_wakes_those_who_wait() -> None:
    answer = writing()
    found: list[Any] = []
    waits = (lambda: found.append(answer.wait(Cursor(), 30)), lambda: found.append(answer.wait_until_final(30)))
    waiters = [threading.Thread(target=wait, daemon=True) for wait in waits]
    for waiter in waiters:
        waiter.start()
    wait_until(lambda: len(answer._changed._cond._waiters) == 2)  # type: ignore[attr-defined]
    answer.interrupt()
    for waiter in waiters:
        waiter.join(5)
    assert len(found) == 2


def test_an_interrupted_answer_sends_everyone_away_at_once_and_for_good() -> None:
    answer = writing()
    results = in_threads(partial(answer.wait_until_final, 30), partial(answer.wait, Cursor(), 30), answer.interrupt)
    assert results[0] is False
    assert results[1].interrupted and not results[1].final
    assert answer.wait(Cursor(), 10**6).interrupted  # who comes later does not wait either
    assert not answer.wait_until_final(10**6)


def test_no_reader_misses_a_change_or_sees_half_of_one() -> None:
    """Readers follow cursors as fast as they can while text grows and attempts change under them."""
    answer = LiveAnswer(Row(status="queued", attempt=0))
    attempts, pieces = 4, 150

    def write() -> None:
        for attempt in range(1, attempts + 1):
            answer.change(State(attempt, "answering"))
            for number in range(1, pieces + 1):
                text = "".join(f"{attempt}:{n} " for n in range(number))
                answer.change(State(attempt, "answering", text=text, reasoning="·" * number))
        answer.change(answer.state._replace(status="done"))

    def read() -> tuple[str, str]:
        cursor, text, reasoning = Cursor(), "", ""
        while True:
            look = answer.wait(cursor, 30)
            assert look.news, "a change was missed"
            if look.reset:
                text = reasoning = ""
            text, reasoning, cursor = text + look.text, reasoning + look.reasoning, look.next
            assert text == look.state.text and reasoning == look.state.reasoning
            if look.final:
                return text, reasoning

    results = in_threads(*[read] * 6, write)
    whole = "".join(f"{attempts}:{n} " for n in range(pieces))
    assert results == [(whole, "·" * pieces)] * 6 + [None]


# ---- What this process knows


def test_everyone_in_a_process_looks_at_the_same_answer() -> None:
    answers = Answers()
    first = answers.of(Row())
    assert answers.of(Row(version=1, answer="你")) is first
    assert first.state.text == "你"  # and what the database says is taken over
    assert answers.of(Row(version=0)).state.text == "你"  # unless it is older than what we know
    assert answers.of(Row(id=2)) is not first


def test_the_database_does_not_overrule_the_writer_in_this_process() -> None:
    answers = Answers()
    mine = answers.of(Row())
    mine.local = True
    mine.change(State(1, "answering", text="你好"))
    assert answers.of(Row(version=9, answer="你")) is mine
    assert mine.state.text == "你好"
    assert answers.awaited() == {}


def test_an_answer_nobody_looks_at_is_forgotten() -> None:
    answers = Answers()
    answer = answers.of(Row())
    assert answers.awaited() == {1: answer}
    del answer
    gc.collect()
    assert answers.awaited() == {}


def test_only_unfinished_answers_are_waited_for() -> None:
    answers = Answers()
    done, writing = answers.of(Row(status="done")), answers.of(Row(id=2))
    assert answers.awaited() == {2: writing}
    writing.update(Row(id=2, status="failed", version=1, code="busy"))
    assert answers.awaited() == {}
    assert answers.of(Row(status="done")) is not done  # made from the row each time


def test_many_who_ask_for_one_answer_at_once_get_one() -> None:
    answers = Answers()
    found = in_threads(*[partial(answers.of, Row())] * 8)
    assert len({id(one) for one in found}) == 1


def test_the_end_of_a_process_interrupts_every_answer_in_it() -> None:
    answers = Answers()
    known = [answers.of(Row(id=number)) for number in range(3)]
    results = in_threads(*[partial(one.wait, Cursor(1), 30) for one in known], answers.interrupt)
    assert all(look.interrupted for look in results[:3])


def test_news_of_the_database_reach_those_who_wait() -> None:
    answer = LiveAnswer(Row())
    looks: list[Look] = []
    waiter = threading.Thread(target=lambda: looks.append(answer.wait(Cursor(), 30)), daemon=True)
    waiter.start()
    row = replace(Row(), version=3, answer="你好", status="done", finish_reason="stop", prompt_tokens=4)
    answer.update(row)
    waiter.join(5)
    [look] = looks
    assert (look.text, look.final, look.state.finish_reason, look.state.prompt_tokens) == ("你好", True, "stop", 4)
    assert answer.version == 3
