"""WeChat's own check of texts (msg_sec_check), as the screening the engine and the writers ask.

It is for mini-programs only. WeChat has a second: without an answer by then, a text passes (`open`) or is withheld
(`closed`).
"""

import logging
import threading
import time
from typing import Any

import gevent

from core.database import Database
from core.screening import OVERLAP, Verdict
from core.store import users
from wechat.platform import PlatformError, WeChatPlatform

log = logging.getLogger(__name__)

CHANNEL = "miniprogram"
SECONDS = 1.0
MAX_CHARS = 2500
COMMENT = 2  # the scene that fits best
QUIET_SECONDS = 60  # between two lines in the log about the same fault


class MsgSecCheck:
    """A `core.screening.Screening`."""

    def __init__(self, platform: WeChatPlatform, database: Database, appid: str, *, closed: bool) -> None:
        self._platform = platform
        self._database = database
        self._appid = appid
        self._closed = closed
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}

    def covers(self, channel: str) -> bool:
        return channel == CHANNEL

    def judge(self, user_id: int, text: str) -> Verdict:
        """The worst verdict on any part of the text; within a second."""
        openid = self._database.read(users.openid_of, user_id, self._appid)
        if openid is None:
            self._tell("no openid", "the user has none in this mini-program")
            return self._unanswered()
        jobs = [gevent.spawn(self._ask, openid, part) for part in parts(text)]
        gevent.joinall(jobs, timeout=SECONDS)
        verdicts = {job.value if job.ready() else None for job in jobs}
        if not all(job.ready() for job in jobs):
            self._tell("late", f"no answer within {SECONDS:g} s")
        if "risky" in verdicts:
            return "risky"
        if None in verdicts:
            return "risky" if self._closed else "review" if "review" in verdicts else "pass"
        return "review" if "review" in verdicts else "pass"

    def _unanswered(self) -> Verdict:
        return "risky" if self._closed else "pass"

    def _ask(self, openid: str, text: str) -> Verdict | None:
        """None where WeChat gives no verdict."""
        body = {"content": text, "version": 2, "scene": COMMENT, "openid": openid}
        try:
            answer = self._platform.call("POST", "/wxa/msg_sec_check", body, timeout=(SECONDS, SECONDS))
        except PlatformError as fault:
            self._tell(str(fault.errcode), str(fault))
            return None
        except Exception:
            log.exception("msg_sec_check failed by a bug of ours")
            return None
        return _verdict(answer)

    def _tell(self, kind: str, what: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now < self._told.get(kind, float("-inf")) + QUIET_SECONDS:
                return
            self._told[kind] = now
        log.warning("msg_sec_check cannot answer, texts %s: %s", "are withheld" if self._closed else "pass", what)


def parts(text: str) -> list[str]:
    """As many characters as WeChat takes at once; what is cut is seen whole in one of the two."""
    return [text[at : at + MAX_CHARS] for at in range(0, max(1, len(text) - OVERLAP), MAX_CHARS - OVERLAP)]


def _verdict(answer: dict[str, Any]) -> Verdict | None:
    result = answer.get("result")
    suggest = result.get("suggest") if isinstance(result, dict) else None
    known: dict[object, Verdict] = {"pass": "pass", "review": "review", "risky": "risky"}
    return known.get(suggest)
