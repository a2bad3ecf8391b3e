"""The daily job and the alerts: done once, whatever the number of processes."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from flask import Flask, request
from sqlalchemy import Connection, func, insert, select, update

import core.chores
from core import logs, migrate
from core.alerts import Alerts, ModelWatch
from core.chores import Chores
from core.database import Database
from core.settings import Settings
from core.store import jobs, processes, retention, users
from core.tables import ConversationRow, JobRow, SessionRow, TurnRow, id_at, now_ms
from tests.loopback import serving
from tests.server import Api, free_port, wait_until
from tests.stores import in_threads, second_process

DAY = 86_400_000
OLD, YOUNG = 201 * DAY, 199 * DAY


def put(connection: Connection, age: int, number: int, status: str = "done", user: int | None = None) -> None:
    """A conversation of one turn, of that age."""
    when = now_ms() - age
    key = id_at(when) + number
    if user is not None:
        times = {"created_at": when, "updated_at": when}
        connection.execute(
            insert(ConversationRow).values(
                id=key, user_id=user, channel="miniprogram", title="t", last_seq=1, **times
            )
        )
    values = {"question": "q", "answer": "a", "reasoning": "", "options": "{}", "channel": "miniprogram"}
    connection.execute(
        insert(TurnRow).values(id=key, conversation_id=key, seq=1, status=status, created_at=when, **values)
    )


def count(database: Database, row: type[Any]) -> int:
    return database.read(lambda c: c.execute(select(func.count()).select_from(row)).scalar_one())


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


def running(name: str) -> list[threading.Thread]:
    """The threads of this name that have not ended."""
    return [thread for thread in threading.enumerate() if thread.name == name]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.chores, "PAUSE_SECONDS", 0)


# Clearing


def test_what_is_older_than_may_be_kept_is_cleared_and_nothing_else(any_database: Database) -> None:
    user = any_database.write(users.sign_in, "wxapp", "somebody")
    for number in range(3):
        any_database.write(put, OLD, number, user=user)
        any_database.write(put, YOUNG, number, user=user)
    any_database.write(put, OLD, 10, "answering")  # it is being written: not ours to take away
    any_database.write(users.open_session, user, 1)
    any_database.write(users.open_session, user, -1)  # expired
    cleared = Chores(any_database, settings()).clear()
    assert cleared == {"sessions": 1, "turns": 3, "conversations": 3}
    assert (count(any_database, TurnRow), count(any_database, ConversationRow)) == (4, 3)
    assert count(any_database, SessionRow) == 1
    assert Chores(any_database, settings()).clear() == {}


def test_it_may_be_kept_for_ever(database: Database) -> None:
    database.write(put, 4000 * DAY, 0)
    assert Chores(database, settings(retention_days=0)).clear() == {}


def test_a_long_conversation_keeps_its_young_turns(database: Database) -> None:
    user = database.write(users.sign_in, "wxapp", "somebody")
    database.write(put, OLD, 0, user=user)

    def join(connection: Connection) -> None:
        put(connection, YOUNG, 1)
        (conversation,) = connection.execute(select(ConversationRow.id)).scalars()
        connection.execute(update(TurnRow).values(conversation_id=conversation))

    database.write(join)
    Chores(database, settings()).clear()
    assert (count(database, TurnRow), count(database, ConversationRow)) == (1, 1)


def test_thousands_of_rows_go_in_small_transactions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(connection: Connection) -> None:
        for number in range(1200):
            put(connection, OLD, number)

    database.write(fill)
    sizes: list[int] = []
    aside = database.write_aside

    def note(work: Callable[[Connection], int]) -> int:
        sizes.append(aside(work))
        return sizes[-1]

    monkeypatch.setattr(database, "write_aside", note)
    assert Chores(database, settings()).clear() == {"turns": 1200}
    assert max(sizes) == retention.SLICE == 500


# Once


def test_one_of_many_processes_gets_the_day(any_database: Database) -> None:
    with second_process(any_database) as other:
        claims = [partial(d.write, jobs.claim, "daily", 738_000, every=1) for d in (any_database, other) * 4]
        assert sorted(in_threads(*claims)) == [False] * 7 + [True]
        assert sorted(in_threads(*claims)) == [False] * 8
        claims = [partial(d.write, jobs.claim, "daily", 738_001, every=1) for d in (any_database, other)]
        assert sorted(in_threads(*claims)) == [False, True]


def test_a_mark_from_a_clock_that_was_ahead_holds_nothing_up(database: Database) -> None:
    assert database.write(jobs.claim, "daily", 800_000, every=1)
    assert database.write(jobs.claim, "daily", 738_000, every=1)
    assert not database.write(jobs.claim, "daily", 738_000, every=1)


def test_the_tick_begins_the_job_once_a_day_and_after_a_failure_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.chores, "LOOK_SECONDS", 0)
    ran: list[int] = []

    class Counted(Chores):
        def clear(self) -> dict[str, int]:
            ran.append(1)
            if len(ran) == 1:
                raise ZeroDivisionError
            return {}

    first, second = Counted(database, settings()), Counted(database, settings())
    first.look()
    wait_until(lambda: ran == [1])
    wait_until(lambda: database.read(lambda c: c.execute(select(JobRow.mark)).scalar()) == 0)
    second.look()
    wait_until(lambda: ran == [1, 1])
    for _ in range(3):
        first.look()
        second.look()
    wait_until(lambda: not running("daily job"))
    assert len(ran) == 2


def test_two_servers_clear_an_old_database_and_one_line_says_so(
    start_api: Callable[..., Api], database_url: str
) -> None:
    database = Database(database_url)
    migrate.upgrade(database)
    database.write(put, OLD, 0)
    apis = [start_api(wait=False), start_api(wait=False)]
    for api in apis:
        api.wait_ready()
    wait_until(lambda: count(database, TurnRow) == 0)
    wait_until(lambda: "the daily job is done" in apis[0].log + apis[1].log)
    wait_until(
        lambda: [row.beat > 2 for row in database.read(processes.everyone)] == [True, True]
    )  # both have looked
    assert (apis[0].log + apis[1].log).count("the daily job is done") == 1
    database.dispose()


# Alerts


class Robot:
    """A group robot of 企业微信."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.answer: tuple[Any, int] = ({"errcode": 0, "errmsg": "ok"}, 200)
        self.app = Flask(__name__)
        self.app.add_url_rule("/send", view_func=self.send, methods=["POST"])
        self.url = ""

    def send(self) -> Any:
        body = request.get_json()
        assert body["msgtype"] == "text" and request.args["key"] == "robot-key-1234"
        self.heard.append(body["text"]["content"])
        return self.answer


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot()
    with serving(robot.app) as url:
        robot.url = f"{url}/send?key=robot-key-1234"
        yield robot


def test_each_kind_is_sent_once_an_hour_by_one_of_all_processes(any_database: Database, robot: Robot) -> None:
    with second_process(any_database) as other:
        alerts = [Alerts(one, robot.url, "小店") for one in (any_database, other) for _ in range(3)]
        for _ in range(3):
            for one in alerts:
                one.tell("model_down", "模型连不上。")
                one.tell("wechat_45009", "今天的接口次数用完了。")
        wait_until(lambda: not running("alert"))
    assert sorted(robot.heard) == ["【小店】今天的接口次数用完了。", "【小店】模型连不上。"]


def test_it_is_sent_again_when_the_hour_is_over(database: Database, robot: Robot) -> None:
    Alerts(database, robot.url, "小店").tell("model_down", "模型连不上。")
    wait_until(lambda: len(robot.heard) == 1)
    database.write(lambda c: c.execute(update(JobRow).values(mark=JobRow.mark - 3_600_001)))
    Alerts(database, robot.url, "小店").tell("model_down", "模型连不上。")
    wait_until(lambda: len(robot.heard) == 2)


def test_what_the_robot_did_not_take_is_due_again(database: Database, robot: Robot) -> None:
    robot.answer = ({"errcode": 45009, "errmsg": "api freq out of limit"}, 200)
    Alerts(database, robot.url, "小店").tell("model_down", "模型连不上。")
    wait_until(lambda: database.read(lambda c: c.execute(select(JobRow.mark)).scalar()) == 0)
    robot.answer = ({"errcode": 0}, 200)
    Alerts(database, robot.url, "小店").tell("model_down", "模型连不上。")
    wait_until(lambda: len(robot.heard) == 2)


def test_telling_never_waits_raises_or_betrays_a_secret(
    database: Database, robot: Robot, caplog: pytest.LogCaptureFixture
) -> None:
    dead = f"http://127.0.0.1:{free_port()}/send?key=robot-key-1234"
    began = time.monotonic()
    Alerts(database, dead, "小店").tell("model_down", "模型连不上。")
    Alerts(database, "", "小店").tell("model_down", "模型连不上。")
    assert time.monotonic() - began < 0.2
    wait_until(lambda: "could not be sent" in caplog.text)
    assert "robot-key" not in caplog.text
    logs._hide({"sk-0123456789abcdef"})
    try:
        Alerts(database, robot.url, "小店").tell("other", "密钥 sk-0123456789abcdef 不对" + "长" * 3000)
        wait_until(lambda: robot.heard)
    finally:
        logs._hide(())
    assert "sk-" not in robot.heard[0] and len(robot.heard[0].encode()) <= 2000


def test_a_model_that_stays_away_is_told_and_one_that_comes_back_is_not(database: Database, robot: Robot) -> None:
    away: list[str | None] = ["no", "no", None, "no", "no", "no"]
    watch = ModelWatch(
        database, lambda: away.pop(0), lambda: ["http://model/v1"], Alerts(database, robot.url, "小店")
    )
    for _ in range(5):
        watch.check()
    wait_until(lambda: not running("alert"))
    assert robot.heard == []
    watch.check()
    wait_until(lambda: robot.heard)
    assert "http://model/v1" in robot.heard[0] and "doctor" in robot.heard[0]


def test_answers_that_fail_one_after_the_other_are_told(database: Database, robot: Robot) -> None:
    def fail(connection: Connection) -> None:
        for number in range(6):
            put(connection, 1000, number, "failed")
        connection.execute(update(TurnRow).values(code="model_error"))

    watch = ModelWatch(database, lambda: None, lambda: [], Alerts(database, robot.url, "小店"))
    watch.check()
    database.write(fail)
    watch.check()
    wait_until(lambda: robot.heard)
    assert len(robot.heard) == 1 and "6 个问题" in robot.heard[0]
