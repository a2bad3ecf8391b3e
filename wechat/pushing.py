"""Answers pushed to followers as customer-service messages, where the account may.

What is to be pushed are rows, and every process looks for them. A piece is claimed before it is sent and recorded
afterwards: after a kill in between another process sends it again, so one piece may arrive twice, and none is lost.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import DBAPIError

from core.alerts import Alerts
from core.database import Database
from core.engine import ChatEngine
from core.errors import NotFound
from core.store import accounts, deliveries, followers, pushes, turns
from core.tables import now_ms
from wechat.composing import MOST_PUSHED, Composer
from wechat.messaging import Messaging
from wechat.platform import PlatformError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
FIRST_PART_MS = 20_000  # so long after the question the whole paragraphs so far are sent
NOTHING_YET_MS = 2_000
TYPING_MS = 16_000  # it lasts 15 s and must not be doubled
AT_ONCE = 24  # messages being sent by this process
TYPERS = 3
TYPING_LATE_SECONDS = 5.0  # by then an answer may be there
NO_PUSH_MS = 3600 * 1000
TRIES = 4
AGAIN_MS = (1_000, 3_000, 10_000)

BUSY, MINUTE_QUOTA, DAY_QUOTA, TOO_LONG, UNAUTHORISED, BANNED = -1, 45011, 45009, 45002, 48001, 48004
UNDELIVERABLE = {40003, 43004, 43019, 48002, BANNED, 50002, 70000}


class Pusher:
    """The pushing side of one process."""

    def __init__(
        self,
        engine: ChatEngine,
        database: Database,
        messaging: Messaging,
        composer: Composer,
        alerts: Alerts,
        appid: str,
        process_id: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._database = database
        self._messaging = messaging
        self._composer = composer
        self._alerts = alerts
        self._appid = appid
        self._process_id = process_id
        self._sending: set[int] = set()
        self._to_type: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self._free = threading.Semaphore(AT_ONCE)
        self._ended = threading.Event()

    def start(self) -> None:
        """After a fork, not before."""
        threading.Thread(target=self._run, name="pusher", daemon=True).start()
        for _ in range(TYPERS):
            threading.Thread(target=self._type_all, name="typer", daemon=True).start()

    def stop(self, seconds: float) -> None:
        """Take up nothing new, and finish what is being sent."""
        self._ended.set()
        give_up = time.monotonic() + seconds
        while self._sending and time.monotonic() < give_up:
            time.sleep(0.05)

    def typing(self, openid: str) -> None:
        """Show a follower that we are at it; returns at once."""
        self._to_type.put((openid, time.monotonic()))

    def _type_all(self) -> None:
        while True:
            openid, since = self._to_type.get()
            if time.monotonic() - since < TYPING_LATE_SECONDS:
                self._type(openid)

    def _type(self, openid: str) -> None:
        try:
            if self._database.read(accounts.may_push, self._appid) and self._database.write(
                followers.claim_typing, self._appid, openid, now_ms(), TYPING_MS
            ):
                self._messaging.show_typing(openid)
        except PlatformError as error:
            if error.errcode == UNAUTHORISED:
                self._may_not_push(error)
            else:
                log.info("typing could not be shown: %s", error)
        except DBAPIError as fault:
            log.warning("typing could not be shown: %s", fault.orig)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self._look()
            except DBAPIError as fault:
                log.warning("nothing can be pushed, the database does not answer: %s", fault.orig)
            except Exception:
                log.exception("pushing failed by a bug of ours")

    def _look(self) -> None:
        if not self._database.read(accounts.may_push, self._appid):
            self._database.write(pushes.stop_pushing, self._appid)
            return
        now, me = now_ms(), self._process_id()
        due = self._database.read(pushes.to_push, self._appid, now, now - FIRST_PART_MS, me, 2 * AT_ONCE)
        due = [row for row in due if row.id not in self._sending]
        random.shuffle(due)  # the other processes look at the same rows
        for row in due:
            if self._ended.is_set() or not self._free.acquire(blocking=False):
                break
            self._sending.add(row.id)
            threading.Thread(target=self._push, args=(row, me), name="push", daemon=True).start()
        for openid in self._database.read(followers.being_written, self._appid, now - TYPING_MS, AT_ONCE):
            self.typing(openid)

    def _push(self, row: Any, me: int) -> None:
        try:
            if self._database.write(pushes.claim_push, row, me):
                self._push_claimed(row, me)
        except Exception:
            log.exception("a piece could not be pushed; its claim is let go of at the next look")
        finally:
            self._sending.discard(row.id)
            self._free.release()

    def _push_claimed(self, row: Any, me: int) -> None:
        try:
            turn = self._database.read(turns.get, row.turn_id)
        except NotFound:
            self._end(row, me, state="shown")
            return
        answer = self._engine.answer_of(turn)
        heading = self._database.read(deliveries.latest_question, self._appid, row.openid) != row.id
        if row.pushed >= MOST_PUSHED:
            self._end(row, me, state="rest")
            return
        room: int | None = None
        while True:
            composed = self._composer.pushed(row, answer, heading, room)
            if composed is None:
                self._end(row, me, due=now_ms() + NOTHING_YET_MS)
                return
            text, showing = composed
            try:
                self._messaging.send_text(row.openid, text, ai=showing.end > row.shown)
            except PlatformError as error:
                if error.errcode == TOO_LONG and (room is None or room > 300):
                    room = (room or len(text.encode())) // 2
                    continue
                self._refused(row, me, error)
                return
            break
        shown = {"shown": showing.end, "shown_hash": showing.digest, "shown_at": now_ms()}
        self._end(row, me, pushed=row.pushed + 1, tries=0, due=0, state=showing.state, **shown)
        self._database.write(followers.typing_ended, self._appid, row.openid)

    def _end(self, row: Any, me: int, **values: Any) -> None:
        """Record what became of a piece: whatever else fails, this is worth some patience."""
        for pause in (0.2, 1.0, 3.0, None):
            try:
                self._database.write(pushes.end_push, row.id, me, **values)
                return
            except DBAPIError:
                if pause is None:
                    raise
                time.sleep(pause)

    def _refused(self, row: Any, me: int, error: PlatformError) -> None:
        """What an errcode means for the rest of an answer."""
        code = error.errcode
        if code in (BUSY, MINUTE_QUOTA) and row.tries + 1 < TRIES:
            wait = AGAIN_MS[row.tries % len(AGAIN_MS)] if code == BUSY else 60_000 - now_ms() % 60_000
            self._end(row, me, tries=row.tries + 1, due=now_ms() + wait + random.randrange(500))
            return
        if code in UNDELIVERABLE:
            log.warning("undeliverable: %s", error)
            if code == BANNED:
                self._alerts.tell("wechat_48004", "公众号的客服消息接口已被封禁（48004），请到公众平台查看原因。")
            self._end(row, me, state="undeliverable")
            return
        if code == UNAUTHORISED:
            self._may_not_push(error)
        elif code == DAY_QUOTA:
            self._alerts.tell("wechat_45009", "客服消息今天的调用次数已用完（45009），后文改为等用户回复“继续”。")
        else:
            log.info("the rest of an answer waits for the follower: %s", error)
        self._end(row, me, state="rest")

    def _may_not_push(self, error: PlatformError) -> None:
        if self._database.write(accounts.forbid_push, self._appid, NO_PUSH_MS):
            log.error("the account may not push: %s", error)
            self._alerts.tell(
                "wechat_48001",
                "公众号没有客服消息权限（48001），一小时内按不能推送处理。"
                "没有认证的账号请设置 WECHAT_CUSTOMER_SERVICE=0。",
            )
