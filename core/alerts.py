"""Alerts: a sentence for the people on duty, sent by a group robot of 企业微信 (WeCom).

`tell` returns at once. Each kind is sent once an hour, whatever the number of processes and however often it
happens. The sentences are ours: what users wrote, and our secrets, have no business in a group chat.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence

import requests
from sqlalchemy.exc import DBAPIError

from core.database import Database
from core.logs import redacted
from core.store import jobs, outcomes
from core.tables import now_ms

log = logging.getLogger(__name__)

HOUR_SECONDS = 3600
AGAIN_SECONDS = 60  # after an alert that could not be sent
TIMEOUT = (3, 5)
LONGEST_BYTES = 2000  # the robot takes 2,048


class Alerts:
    """`url` is the robot's webhook; without one, alerts are only logged. `brand` tells which server speaks."""

    def __init__(self, database: Database, url: str, brand: str) -> None:
        self._database = database
        self._url = url
        self._brand = brand
        self._lock = threading.Lock()
        self._quiet_until: dict[str, float] = {}

    def tell(self, kind: str, text: str) -> None:
        """Send this, unless the same kind was sent within the hour. From any thread; it neither waits nor raises."""
        now = time.monotonic()
        with self._lock:
            if now < self._quiet_until.get(kind, 0.0):
                return
            self._quiet_until[kind] = now + HOUR_SECONDS
        text = redacted(text)
        log.warning("alert %s: %s", kind, text)
        if self._url:
            threading.Thread(target=self._send, args=(kind, text), name="alert", daemon=True).start()

    def _send(self, kind: str, text: str) -> None:
        name, mark = f"alert:{kind}", now_ms()
        try:
            if not self._database.write(jobs.claim, name, mark, every=HOUR_SECONDS * 1000):
                return  # another process was faster
        except DBAPIError:
            pass  # the database is away: then each process tells for itself
        if fault := self._post(f"【{self._brand}】{text}"):
            log.error("the alert %s could not be sent: %s", kind, fault)
            with self._lock:
                self._quiet_until[kind] = time.monotonic() + AGAIN_SECONDS
            with contextlib.suppress(DBAPIError):
                self._database.write(jobs.give_back, name, mark)

    def _post(self, text: str) -> str | None:
        """Why the robot did not take it; None if it did. The URL holds the robot's key, so no error's own text."""
        content = text.encode()[:LONGEST_BYTES].decode(errors="ignore")
        body = {"msgtype": "text", "text": {"content": content}}
        try:
            response = requests.post(self._url, json=body, timeout=TIMEOUT, allow_redirects=False)
            answer = response.json() if response.status_code == 200 else None
        except (requests.RequestException, ValueError) as fault:
            return type(fault).__name__
        if not isinstance(answer, dict):
            return f"HTTP {response.status_code}"
        return f"errcode {answer.get('errcode')}" if answer.get("errcode", 0) else None


class ModelWatch:
    """Notices that the model is away, or that its answers fail; `look` is called by the tick."""

    LOOK_SECONDS = 20.0
    TIMES = 3  # in a row: a model that is being restarted is no reason to wake anybody
    LATELY_SECONDS = 120.0
    FAILURES = 5

    def __init__(
        self, database: Database, ping: Callable[[], str | None], where: Callable[[], Sequence[str]], alerts: Alerts
    ) -> None:
        self._database = database
        self._ping = ping
        self._where = where
        self._alerts = alerts
        self._look_at = time.monotonic() + self.LOOK_SECONDS
        self._away = 0
        self._busy = False

    def look(self) -> None:
        if self._busy or time.monotonic() < self._look_at:
            return
        self._busy = True
        threading.Thread(target=self._run, name="model watch", daemon=True).start()

    def _run(self) -> None:
        try:
            self.check()
        except Exception as fault:
            log.warning("could not look after the model: %s", type(fault).__name__)
        finally:
            self._look_at = time.monotonic() + self.LOOK_SECONDS
            self._busy = False

    def check(self) -> None:
        """One look."""
        self._away = self._away + 1 if self._ping() else 0
        where = "、".join(self._where()) or "内置引擎"
        if self._away >= self.TIMES:
            self._alerts.tell(
                "model_down", f"模型连不上（{where}），用户现在得不到回答。请运行 python app.py doctor 查看原因。"
            )
            return
        failed, done = self._database.read(outcomes.lately, self.LATELY_SECONDS)
        if failed >= self.FAILURES and failed > done:
            self._alerts.tell(
                "model_failing",
                f"最近 2 分钟有 {failed} 个问题因模型出错没有答上来，答上来的有 {done} 个（{where}）。"
                "请运行 python app.py doctor 查看原因。",
            )
