"""Processes are killed, paused and stopped at any moment: accepted is answered, once, and readers see one text."""

import contextlib
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import requests
from sqlalchemy import create_engine, text

from tests.databases import missing
from tests.fakes import FakeCogito
from tests.server import Api, User, wait_until

T = TypeVar("T")
KILLS = 50
READERS = 6
TOKENS = 25
QUESTION = f"[tokens:{TOKENS}@0.02]"
ANSWER = "".join(f"{number} " for number in range(TOKENS))


@pytest.mark.timeout(240)
def test_every_accepted_question_has_one_answer_after_fifty_kills(
    database_url: str, start_api: Callable[..., Api], cogito: FakeCogito
) -> None:
    fleet = Fleet(lambda: start_api(wait=False, workers=2))
    try:
        readers = [Reader(fleet, seed) for seed in range(READERS)]
        for reader in readers:
            reader.start()
        fleet.kill_at_random(KILLS, random.Random(7), lambda: cogito.active > 0)
        for reader in readers:
            reader.finish()
        statuses = wait_until(lambda: final_statuses(database_url), 30, "the end of every turn")
        assert set(statuses) == {"done"}
        asked = sum(reader.answered for reader in readers)
        assert asked == len(statuses), "a question was accepted twice, or one was lost"
        assert cogito.calls > asked + 10, "the kills hit nothing that was being written"
    finally:
        for api in fleet.apis:
            api.kill()


class Fleet:
    """Two api processes of two workers each; whatever is killed is started again."""

    def __init__(self, start: Callable[[], Api]) -> None:
        self._start = start
        self.apis = [start().wait_ready(), start()]
        self.apis[1].wait_ready()

    def kill_at_random(self, times: int, rng: random.Random, writing: Callable[[], bool]) -> None:
        for number in range(times):
            wait_until(writing, 30, "an answer being written, for a kill to hit")
            time.sleep(rng.uniform(0.02, 0.4))  # the moment of the kill is what is tested
            place = rng.randrange(2)
            if number % 10 == 9:  # master, workers and all
                self.apis[place].kill()
                self.apis[place] = self._start()
            elif workers := self.apis[place].children():
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(rng.choice(workers), signal.SIGKILL)

    def urls(self) -> list[str]:
        return [api.url for api in self.apis]


class Reader(threading.Thread):
    """Asks one question after the other and follows each to its end, whatever breaks in between."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        super().__init__(daemon=True)
        self._fleet = fleet
        self._rng = random.Random(seed)
        self._enough = threading.Event()
        self._user = fleet.apis[0].login()
        self._failure: BaseException | None = None
        self.answered = 0

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                self._ask_and_follow()
                self.answered += 1
        except BaseException as failure:
            self._failure = failure

    def finish(self) -> None:
        self._enough.set()
        self.join(60)
        assert not self.is_alive(), "a reader never got to the end of its answer"
        if self._failure is not None:
            raise self._failure

    def _ask_and_follow(self) -> None:
        request_id = uuid.uuid4().hex
        stream = self._until_it_works(lambda user: user.stream(QUESTION, client_request_id=request_id))
        shown, cursor, turn_id = "", "", ""
        while True:
            stream.text = shown
            with contextlib.suppress(requests.RequestException):
                stream.to_end()
            shown, cursor, turn_id = stream.text, stream.cursor or cursor, stream.turn_id or turn_id
            if stream.events and stream.last[0] in ("done", "error"):
                break
            if turn_id:
                stream = self._until_it_works(partial(User.resume, turn_id=turn_id, after=cursor))
            else:  # not even its `start` came: ask again in the same words
                stream = self._until_it_works(lambda user: user.stream(QUESTION, client_request_id=request_id))
        assert stream.last[0] == "done", stream.last
        final = self._until_it_works(lambda user: user.get(f"/api/turns/{turn_id}", timeout=5)).json()
        assert shown == stream.last[1]["reply"] == final["reply"] == ANSWER

    def _until_it_works(self, call: Callable[[User], T]) -> T:
        """The answer of a process that lives."""

        def attempt() -> T | None:
            try:
                return call(self._user.at(self._rng.choice(self._fleet.urls())))
            except requests.RequestException:
                return None

        return wait_until(attempt, 30, "an answer of any process")  # type: ignore[no-any-return]


def final_statuses(url: str) -> list[str] | None:
    """The status of every turn, once all are final."""
    engine = create_engine(url)
    with engine.connect() as connection:
        statuses = list(connection.execute(text("SELECT status FROM turns")).scalars())
    engine.dispose()
    return None if {"queued", "answering"} & set(statuses) else statuses


def process_rows(url: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        count = int(connection.execute(text("SELECT count(*) FROM processes")).scalar_one())
    engine.dispose()
    return count


def test_a_killed_worker_s_answer_goes_on_at_once_in_another_process_of_the_host(
    start_api: Callable[..., Api], cogito: FakeCogito
) -> None:
    first, second = start_api(), start_api()
    user = first.login()
    turn_id = user.ask("[hold:1]", wait=0).json()["turn_id"]
    cogito.wait_for(lambda: cogito.calls == 1)
    killed = time.monotonic()
    first.kill()
    cogito.wait_for(lambda: cogito.calls == 2, 5)
    assert time.monotonic() - killed < 2
    cogito.release()
    assert user.at(second.url).wait_final(turn_id)["reply"] == "回答：[hold:1]"


def test_a_writer_on_another_host_is_replaced_within_seven_seconds(
    start_api: Callable[..., Api], cogito: FakeCogito, database_url: str
) -> None:
    first, second = start_api(), start_api()
    user = first.login()
    turn_id = user.ask("[hold:1]", wait=0).json()["turn_id"]
    cogito.wait_for(lambda: cogito.calls == 1)
    engine = create_engine(database_url)
    with engine.begin() as connection:
        (worker,) = first.children()
        moved = connection.execute(text("UPDATE processes SET host = 'elsewhere' WHERE pid = :pid"), {"pid": worker})
        assert moved.rowcount == 1
    engine.dispose()
    killed = time.monotonic()
    first.kill()
    cogito.wait_for(lambda: cogito.calls == 2, 10)
    assert 4 < time.monotonic() - killed < 7
    cogito.release()
    assert user.at(second.url).wait_final(turn_id)["status"] == "done"


def test_a_process_that_was_paused_overwrites_nothing_and_goes_on_as_a_new_one(
    start_api: Callable[..., Api], cogito: FakeCogito
) -> None:
    first, second = start_api(), start_api()
    user = first.login()
    cogito.will_say("the first ", "attempt", hold_at=1)
    cogito.will_say("the second attempt")
    turn_id = user.ask("hello", wait=0).json()["turn_id"]
    cogito.wait_for(lambda: cogito.calls == 1)
    (worker,) = first.children()
    os.kill(worker, signal.SIGSTOP)
    try:
        cogito.wait_for(lambda: cogito.calls == 2, 10)
        assert user.at(second.url).wait_final(turn_id)["reply"] == "the second attempt"
        cogito.release()  # the first attempt's answer now waits, whole, in the paused process's socket
    finally:
        os.kill(worker, signal.SIGCONT)
    cogito.wait_for(lambda: cogito.active == 0, 10)
    assert user.ask("are you there?").json()["reply"] == "回答：are you there?"
    wait_until(lambda: "taken for dead" in first.log, 5, "the paused process noticing")
    assert user.wait_final(turn_id)["reply"] == "the second attempt"
    assert user.at(second.url).wait_final(turn_id)["reply"] == "the second attempt"


def test_sigterm_loses_no_answer_that_nobody_is_looking_at(start_api: Callable[..., Api], database_url: str) -> None:
    api = start_api()
    user = api.login()
    for _ in range(5):
        assert user.ask("[tokens:20@0.05]", wait=0).status_code == 202
    assert api.stop() == 0
    assert final_statuses(database_url) == ["done"] * 5
    assert process_rows(database_url) == 0


def test_what_is_unfinished_at_the_end_is_handed_over_and_its_reader_sent_along(
    start_api: Callable[..., Api], cogito: FakeCogito
) -> None:
    first = start_api(shutdown_seconds=2)
    user = first.login()
    stream = user.stream("[hold:2]")
    stream.until("delta")
    second = start_api()
    first.popen.send_signal(signal.SIGTERM)
    stream.to_end()
    assert stream.last[0] == "delta", "the end of a process is not the end of the answer"
    cogito.wait_for(lambda: cogito.calls == 2, 5)
    cogito.release()
    resumed = user.at(second.url).resume(stream.turn_id, stream.cursor)
    resumed.text = stream.text
    assert resumed.to_end().text == "回答：[hold:2]"
    assert ("reset", {}) in resumed.events
    assert first.popen.wait(5) == 0


def test_a_clock_that_is_stepped_by_an_hour_starts_no_take_over(
    start_api: Callable[..., Api], cogito: FakeCogito, tmp_path: Path, database_url: str
) -> None:
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
    if library is None:
        missing("libfaketime is not installed (apt install faketime)")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    stepped = {
        "ld_preload": library,
        "faketime_timestamp_file": clock,
        "faketime_no_cache": 1,
        "faketime_dont_fake_monotonic": 1,
    }
    first, second = start_api(), start_api(**stepped)
    user = first.login()
    asked = [user.at(api.url).ask("[hold:1]", wait=0).json()["turn_id"] for api in (first, second)]
    cogito.wait_for(lambda: cogito.calls == 2)
    for step in ("+1h", "-1h"):
        clock.write_text(step)
        before = beats(database_url)
        wait_until(lambda: all(now > then + 4 for now, then in zip(beats(database_url), before, strict=True)))  # noqa: B023
    assert cogito.calls == 2
    cogito.release()
    assert [user.wait_final(turn_id)["status"] for turn_id in asked] == ["done", "done"]
    assert cogito.calls == 2


def beats(url: str) -> list[int]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(text("SELECT beat FROM processes ORDER BY id")).scalars())
    engine.dispose()
    return found
