"""Api processes that share one database and one scripted model: built once, lived in by many tests."""

import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import requests
from sqlalchemy import func, select

from core import migrate
from core.database import Database
from core.moderation import Word
from core.store import processes, turns
from core.tables import DeliveryRow, TurnRow
from tests import stores
from tests.databases import KIND, fresh_database
from tests.fakes import FakeCogito
from tests.server import Api, User, wait_until

T = TypeVar("T")
BLOCKED = "违禁品"  # a word that every house refuses
BUG = re.compile(r"a bug of ours|Traceback")


class House:
    """`api` and `other` are the first two processes; a test that has ended calls `settle()`."""

    def __init__(self, cogito: FakeCogito, database: Database, apis: list[Api]) -> None:
        self.cogito = cogito
        self.database = database
        self.apis = apis
        self.api, self.other = apis[0], apis[-1]
        self._read = [0] * len(apis)

    def login(self, **who: str) -> User:
        return self.api.login(**who)

    def row(self, turn_id: str) -> Any:
        """A turn as the database has it."""
        return self.database.read(turns.get, int(turn_id))

    def prompts(self, question: str) -> list[list[dict[str, str]]]:
        """The messages of every call of the model whose question contains this."""
        bodies = list(self.cogito.requests)
        return [body["messages"] for body in bodies if question in body["messages"][-1]["content"]]

    def calls(self, question: str) -> int:
        return len(self.prompts(question))

    def called(self, question: str, times: int = 1) -> None:
        """Wait until the model has been asked this."""
        self.cogito.wait_for(lambda: self.calls(question) >= times)

    def overlook_bugs(self) -> None:
        """What the logs tell up to now is what a test meant to provoke."""
        self._read = [len(api.log) for api in self.apis]

    def settle(self) -> None:
        """Let everything end: every question has a final state, the model is idle, and no bug is in a log."""
        self.cogito.release()
        wait_until(lambda: not self._open_turns(), what="the end of every turn")
        self.cogito.wait_for(lambda: self.cogito.active == 0)
        self.cogito.forget()
        for number, api in enumerate(self.apis):
            news, self._read[number] = api.log[self._read[number] :], len(api.log)
            assert not BUG.search(news), news

    def delivered(self, msg_id: object) -> int:
        """How often a message of the official account has arrived."""
        query = select(DeliveryRow.arrivals).where(DeliveryRow.key == f"m:{msg_id}")
        return self.database.read(lambda connection: connection.execute(query).scalar()) or 0

    def workers(self) -> list[int]:
        """Process ids of all that serve."""
        return [pid for api in self.apis for pid in api.children()]

    def wait_tick(self) -> None:
        """Until every process has read the database once more: what others wrote, and what staff changed."""
        before = self._beats()
        wait_until(lambda: all(beat >= before.get(process, 0) + 2 for process, beat in self._beats().items()))

    def _beats(self) -> dict[int, int]:
        return {row.id: row.beat for row in self.database.read(processes.everyone)}

    def _open_turns(self) -> int:
        query = select(func.count()).where(TurnRow.status.in_(turns.OPEN))
        return self.database.read(lambda connection: connection.execute(query).scalar_one())


@contextmanager
def housing(folder: Path, simulator: str, *processes: dict[str, Any], url: str | None = None) -> Iterator[House]:
    """A house with one api process for each of these settings."""
    if url is None:
        with fresh_database(KIND, folder) as fresh, housing(folder, simulator, *processes, url=fresh) as house:
            yield house
        return
    database = Database(url)
    migrate.upgrade(database)
    database.write(stores.set_words, [Word(BLOCKED, "block")])
    written = database.url.render_as_string(hide_password=False)
    apis: list[Api] = []
    with FakeCogito() as cogito:
        try:
            for settings in processes:
                given = {"model_url": cogito.url, "database_url": written, "simulator": simulator} | settings
                apis.append(Api(folder, **given))
            yield House(cogito, database, [api.wait_ready(60) for api in apis])
        finally:
            for api in apis:
                api.popen.send_signal(signal.SIGSTOP)  # or it would replace the workers we kill
                api.kill()
            database.dispose()


def at_once(work: Callable[..., T], *arguments: Any, times: int = 1) -> list[T]:
    """What `work` returns for each argument (or so many `times`), all of them run at the same time."""
    given = [(argument,) for argument in arguments] or [()] * times
    with ThreadPoolExecutor(len(given)) as pool:
        return [one.result() for one in [pool.submit(work, *each) for each in given]]


def problem(response: requests.Response, status: int, code: str) -> dict[str, Any]:
    """The body of an error response, whose shape is the same for every one of them."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"] and body["title"]
    assert re.search("[\u4e00-\u9fff]", body["detail"]), "the detail is a Chinese sentence"
    assert body["request_id"] and body["request_id"] == response.headers["X-Request-Id"]
    assert ("Retry-After" in response.headers) == (status in (429, 503))
    if status in (429, 503):
        assert int(response.headers["Retry-After"]) >= 1
    return body
