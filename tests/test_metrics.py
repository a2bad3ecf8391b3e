"""GET /metrics: the figures of all workers of a port, whichever is asked, for whoever may read them."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.house import House, housing, problem
from tests.phones import street
from tests.server import Api, wait_until
from wechat.simulator.world import Fault

PROXIED = {"X-Forwarded-For": "203.0.113.9"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    settings: dict[str, Any] = {"workers": 2, "metrics_token": "let-me-in", "model_max_concurrent": 1}
    with housing(tmp_path_factory.mktemp("measured"), simulator, settings) as house:
        yield house


def figures(house: House, **headers: str) -> dict[str, float]:
    """Name with labels → value."""
    answer = requests.get(f"{house.api.url}/metrics", headers=headers, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    names = [line.rpartition(" ")[0] for line in lines]
    assert len(names) == len(set(names)), "each figure is told once"
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_several_workers_tell_whole_figures(measured: House) -> None:
    workers = measured.api.children()
    assert len(workers) == 2
    before = figures(measured)
    users = [measured.login() for _ in range(4)]
    for number in range(24):
        users[number % 4].ask("数一数")
    users[0].ask("坏了[status:400]")
    users[0].post("/api/turns/1/rating", {"rating": "up"})

    done = 'chat_turns_total{channel="miniprogram",status="done"}'
    failed = 'chat_turns_total{channel="miniprogram",status="failed"}'
    for _ in range(12):  # answered by one worker or the other, always the same
        after = figures(measured)
        grown = {name: after[name] - before.get(name, 0) for name in after}
        assert grown[done] == 24 and grown[failed] == 1
        assert grown["chat_first_token_seconds_count"] == 24
        assert grown["chat_answer_seconds_count"] == 25
        assert grown['chat_tokens_total{kind="prompt"}'] == 240
        assert grown['chat_tokens_total{kind="completion"}'] >= 24
        assert grown['chat_turn_errors_total{code="model_error"}'] == 1
        assert grown['chat_http_errors_total{code="not_found"}'] == 1
        assert after['chat_answer_seconds_bucket{le="+Inf"}'] == after["chat_answer_seconds_count"]
        endpoint = f'{{url="{measured.cogito.url}"}}'
        assert after[f"chat_model_endpoint_failures{endpoint}"] >= 0
        assert f"chat_model_endpoint_cooling_seconds{endpoint}" in after
        assert after['chat_deliveries_unfinished{state="push"}'] == after["chat_deliveries_silent"] == 0
        assert not any("pid=" in name for name in after)


def test_what_waits_and_what_is_written_is_told_as_it_is(measured: House) -> None:
    users = [measured.login() for _ in range(4)]
    turns = [(user, user.ask(f"等着{n}[hold:0]", wait=0).json()["turn_id"]) for n, user in enumerate(users)]

    def told() -> tuple[float, float]:
        now = figures(measured)
        return now["chat_turns_being_written"], now["chat_turns_waiting"]

    wait_until(lambda: told() == (2, 2), what="one answer per worker, the others waiting")
    measured.cogito.release()
    for user, turn in turns:
        user.wait_final(turn)
    assert told() == (0, 0)
    measured.cogito.hold_again()


def test_deliveries_of_the_official_account_and_what_is_pushed_are_counted(tmp_path: Path) -> None:
    with street(tmp_path, processes=1, wechat_customer_service=1) as town:
        phone = town.phone()
        # On a busy machine the very first answers of a process may come too late for the reply, and are pushed.
        for number in range(1, 20):
            if phone.say("很快[say:很快就有的回答。]").text:
                break
            phone.wait_for(lambda lines, wanted=number: sum(line.way == "pushed" for line in lines) == wanted)
        before = figures(town.house)
        assert before['chat_deliveries_total{outcome="answered"}'] == number
        town.official.world.inject(Fault("/cgi-bin/message/custom/send", errcode=-1))  # busy: it is tried again
        phone.say("慢[slow:2][say:慢慢写好的回答。]")
        phone.wait_for(lambda lines: sum(line.way == "pushed" for line in lines) == number)
        requests.post(f"{town.house.api.url}/wechat/callback", data="<xml/>", timeout=5)
        told = figures(town.house)
        counted = ("chat_deliveries_total", "chat_customer_service_messages_total")
        more = {name: told[name] - before.get(name, 0) for name in told if name.startswith(counted)}
        assert {name: count for name, count in more.items() if count} == {
            'chat_deliveries_total{outcome="answered"}': 1,
            'chat_deliveries_total{outcome="refused"}': 1,
            'chat_customer_service_messages_total{result="sent"}': 1,
            'chat_customer_service_messages_total{result="-1"}': 1,
        }


def test_what_a_killed_worker_counted_stays(measured: House) -> None:
    user = measured.login()
    for _ in range(6):
        user.ask("数完就走")
    done = 'chat_turns_total{channel="miniprogram",status="done"}'
    before = figures(measured)[done]
    victim = measured.api.children()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in (now := measured.api.children()) and len(now) == 2, what="another worker")
    time.sleep(0.2)
    assert figures(measured)[done] == before
    folder = _folder(measured.api.children()[0])
    assert not list(folder.glob(f"gauge_live*_{victim}.db"))
    assert list(folder.glob(f"counter_{victim}.db"))


def test_only_this_machine_or_who_has_the_token_reads_them(measured: House, house: House) -> None:
    url = f"{measured.api.url}/metrics"
    problem(requests.get(url, headers=PROXIED, timeout=10), 401, "unauthorized")
    for wrong in ("Bearer ", "Bearer let-me", "let-me-in", "Basic let-me-in", "Bearer ü"):
        answer = requests.get(url, headers=PROXIED | {"Authorization": wrong.encode()}, timeout=10)  # type: ignore[dict-item]
        problem(answer, 401, "unauthorized")
    assert figures(measured, Authorization="Bearer let-me-in", **PROXIED)
    answer = requests.get(f"{house.api.url}/metrics", headers=PROXIED | {"Authorization": "Bearer "}, timeout=10)
    problem(answer, 401, "unauthorized")


def test_the_folder_of_the_figures_goes_with_the_processes_or_with_those_that_come_after(
    start_api: Callable[..., Api],
) -> None:
    killed = start_api()
    left = _folder(killed.children()[0])
    killed.kill()
    assert left.is_dir()
    api = start_api()
    folder = _folder(api.children()[0])
    assert folder.is_dir() and not left.exists()
    assert api.stop() == 0
    assert not folder.exists()


def _folder(pid: int) -> Path:
    """Where a worker keeps its figures, by the files it has open."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    paths = {line.split(None, 5)[5] for line in maps.splitlines() if "chat-metrics-" in line}
    return Path(next(iter(paths))).parent
