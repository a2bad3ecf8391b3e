"""WeChat's access token for us, one for all processes: a row in the database.

It comes from stable_token, which gives everybody the same token while it is good, so a race costs nothing but a
call. One process fetches at a time; the others go on with the old token while it lasts, or wait for the new one.
"""

import logging
import threading
import time
from collections.abc import Callable

from core.database import Database
from core.store import accounts
from core.tables import now_ms

log = logging.getLogger(__name__)

EARLY_MS = 270_000  # WeChat makes a new one five minutes before the end, and the old one works on until then
LEASE_MS = 10_000
LOOK_SECONDS = 2.0  # how long this process believes what it read
WAIT_SECONDS = 9.0

Fetch = Callable[[bool], tuple[str, int]]  # forced or not → token and its seconds; raises PlatformError


class NoToken(Exception):
    """Somebody else is fetching a token, and has been for too long."""


class AccessToken:
    """Of one account."""

    def __init__(self, database: Database, appid: str, fetch: Fetch) -> None:
        self._database = database
        self._appid = appid
        self._fetch = fetch
        self._known = accounts.Token("", 0)
        self._look_at = 0.0
        self._renewing = threading.Lock()

    def get(self) -> str:
        """A token that should work; raises NoToken, or what fetching one raises."""
        if self._good():
            return self._known.text
        with self._renewing:  # one of this process is enough
            return self._known.text if self._good() else self._renewed(self._known.text, force=False)

    def replace(self, bad: str, force: bool = False) -> str:
        """A token in place of one WeChat does not take; the same one if WeChat insists on it."""
        with self._renewing:
            self._look()
            if self._known.text != bad and self._known.until > now_ms():
                return self._known.text  # somebody has replaced it before us
            self._database.write(accounts.drop_token, self._appid, bad)
            return self._renewed(bad, force)

    def _good(self) -> bool:
        if time.monotonic() >= self._look_at:
            self._look()
        return self._known.until - now_ms() > EARLY_MS

    def _look(self) -> None:
        self._known = self._database.read(accounts.token, self._appid)
        self._look_at = time.monotonic() + LOOK_SECONDS

    def _renewed(self, seen: str, force: bool) -> str:
        give_up = time.monotonic() + WAIT_SECONDS
        while True:
            if self._database.write(accounts.claim_fetch, self._appid, seen, LEASE_MS):
                return self._fetched(force)
            self._look()
            now = now_ms()
            if self._known.until - now > EARLY_MS or (self._known.until > now and self._known.text == seen):
                return self._known.text
            seen = self._known.text
            if time.monotonic() > give_up:
                raise NoToken("no access token within the time")
            time.sleep(0.1)

    def _fetched(self, force: bool) -> str:
        try:
            text, seconds = self._fetch(force)
        except BaseException:
            self._database.write(accounts.fetch_failed, self._appid)
            if self._known.until > now_ms() + 5000:
                log.warning("no new access token yet; the old one still lasts")
                return self._known.text
            raise
        until = now_ms() + seconds * 1000
        self._database.write(accounts.store_token, self._appid, text, until)
        self._known = accounts.Token(text, until)
        self._look_at = time.monotonic() + LOOK_SECONDS
        return text
