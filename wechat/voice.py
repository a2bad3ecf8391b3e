"""What a follower says in a voice message, as text.

Fetching and transcribing take longer than a delivery lasts, so one process does it beside the deliveries, and these
look whether the message has become a question.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from core.database import Database
from core.errors import ChatError
from core.speech import Speech
from core.store import deliveries, pushes
from wechat.messages import Push
from wechat.messaging import Messaging
from wechat.platform import PlatformError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25


class Listener:
    """Fetches voices from WeChat and has them transcribed."""

    def __init__(
        self, messaging: Messaging, speech: Speech, database: Database, process_id: Callable[[], int]
    ) -> None:
        self._messaging = messaging
        self._speech = speech
        self._database = database
        self._process_id = process_id

    @property
    def configured(self) -> bool:
        return self._speech.configured

    def listen(self, row: Any, push: Push, heard: Callable[[str], None], by: float) -> Any:
        """Wait until the message's row has a turn or a reply, at most until `by` (monotonic); the row as it is then.

        The first to come for it makes `heard` be called, with what was said or "".
        """
        me = self._process_id()
        if self._database.write(pushes.claim_hearing, row.id, me):
            arguments = (row.id, me, push, heard)
            threading.Thread(target=self._hear, args=arguments, name="listener", daemon=True).start()
        while row is not None and row.reply is None and (row.turn_id is None or row.pusher is not None):
            if time.monotonic() >= by:
                break
            time.sleep(LOOK_SECONDS)
            row = self._database.read(deliveries.get, row.id)
        return row

    def _hear(self, delivery_id: int, me: int, push: Push, heard: Callable[[str], None]) -> None:
        try:
            heard(self._text(push))
        except Exception:
            log.exception("a voice message was not understood by a bug of ours")
        finally:
            self._database.write(pushes.end_push, delivery_id, me)

    def _text(self, push: Push) -> str:
        """The better recording first; empty where nothing could be understood."""
        for name in ("MediaId16K", "MediaId"):
            if media_id := push.get(name):
                try:
                    if text := self._speech.transcribe(self._messaging.media(media_id)).strip():
                        return text
                except (PlatformError, ChatError) as fault:
                    log.warning("a voice message could not be understood: %s", fault)
        return ""
