"""What a message of a follower means, and who answers it: staff's words, a command, or the model.

event ─ welcome, keyword, erasure          text ─ command ▸ keyword reply ▸ 继续 ▸ question
voice ─ understood, then as text           image, video, … ─ a sentence
"""

import logging
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from core.answers import LiveAnswer
from core.database import Database
from core.engine import ChatEngine
from core.errors import ChatError, Conflict, NotFound, Unauthorized
from core.keywords import keyword_reply
from core.settings import Settings
from core.store import complaints, conversations, deliveries, turns, users
from core.store.complaints import MAX_REASON_CHARS
from core.store.deliveries import Arrival
from core.tables import now_ms
from wechat import phrases
from wechat.delivery import Delivery
from wechat.messages import Push
from wechat.occurrences import Events
from wechat.visits import CHANNEL, Visit
from wechat.voice import Listener

log = logging.getLogger(__name__)

CONTINUE = {"继续", "繼續", "接着说", "接著說", "继续说", "繼續說"}
CLEAR = {"清空", "/clear"}
HELP = {"帮助", "/help"}
HUMAN, COMPLAINT, AGAIN = "人工", "投诉", "重答"
BROKEN = 0.85  # of the time the deliveries before should have taken
_ENDING = re.compile(r"[\s。．.！!，,~～]+$")


class Reception:
    """Answers pushes that are authentic."""

    def __init__(
        self,
        engine: ChatEngine,
        database: Database,
        settings: Settings,
        delivery: Delivery,
        listener: Listener,
        typing: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._database = database
        self._settings = settings
        self._appid = settings.official_appid
        self._delivery = delivery
        self._listener = listener
        self._typing = typing
        self._events = Events(self, engine, database, self._appid)

    def visit(self, push: Push, by: float) -> Visit:
        """A delivery that is to be answered at `by` (monotonic)."""
        return Visit(push, Arrival(self._appid, push.sender, push.key), by)

    def unseen(self, visit: Visit, reply: str) -> None:
        """The reply came too late: WeChat has closed the line."""
        try:
            self._delivery.unseen(visit.arrival, reply)
        except Exception:  # the delivery is lost as it is, and maybe the database is what was late
            log.exception("a reply that came too late could not be taken back")

    def receive(self, visit: Visit) -> str | None:
        """The reply to a delivery (see `phrases` for those that are no text); None: let WeChat come again."""
        push = visit.push
        if push.kind == "event":
            return self._events.receive(visit)
        if push.kind == "text":
            return self._text(visit, push.get("Content").strip())
        if push.kind == "voice":
            return self._voice(visit)
        return self.say(visit, phrases.UNSUPPORTED.get(push.kind, phrases.UNSUPPORTED_OTHER))

    # Text

    def _text(self, visit: Visit, text: str) -> str | None:
        """Whatever costs nothing comes before the model."""
        word = _ENDING.sub("", text)
        if (act := self.command(word)) is not None:
            return self.once(visit, lambda row: act(row, text))
        if word == AGAIN:
            return self._again(visit)
        if (reply := keyword_reply(self._engine.live.replies, text)) is not None:
            return self.say(visit, reply)
        if word in CONTINUE:
            row = self._received(visit)
            if row.reply is not None:
                return str(row.reply)
            if row.turn_id is None and (reply := self._delivery.go_on(visit.arrival, visit.by)) is not None:
                return reply
        return self._question(visit, text)

    def _again(self, visit: Visit) -> str | None:
        """重答: another answer to the last question."""
        row = self._received(visit)
        if row.reply is not None:
            return str(row.reply)
        turn_id = row.turn_id
        if turn_id is None:
            last = self._last_turn(row.openid)
            if last is None:
                return self.say(visit, phrases.NOTHING_TO_REPEAT)
            turn_id = last.id
        return self._question(visit, "", again=turn_id)

    def _question(self, visit: Visit, text: str, again: int | None = None) -> str | None:
        arrival = visit.arrival
        try:
            answer = self._ask(arrival, text, again)
        except deliveries.AlreadyAnswered as known:
            return known.reply
        except (Conflict, NotFound) as refusal:
            return self.say(visit, phrases.refusal(refusal) if again is None else phrases.NOTHING_TO_REPEAT)
        except Unauthorized:  # the user was erased or merged a moment ago
            self._database.write(users.sign_in, arrival.appid, arrival.openid)
            return None if not visit.last else phrases.SORRY
        except ChatError as refusal:
            return self.say(visit, phrases.refusal(refusal))
        row = arrival.row
        if row.reply is not None:
            return str(row.reply)
        if again is not None and row.arrivals == 1:
            self._database.write(deliveries.drop, again)  # nobody wants the rest of the old answer
        if self._settings.wechat_customer_service and row.arrivals == 1 and not answer.final:
            self._typing(arrival.openid)
        last = visit.last or row.arrivals >= self._settings.wechat_deliveries
        # It comes again too early: the line was broken off. It may break again, so leave no delivery unanswered now;
        # where another time would be one too often, do not even wait.
        broken = visit.within(BROKEN * (row.arrivals - 1) * self._settings.wechat_reply_seconds)
        at_once = broken and (last or self._delivery.may_push())
        by = time.monotonic() if at_once else visit.by
        return self._delivery.answer(arrival, answer, by, may_be_silent=not last and not broken)

    def _ask(self, arrival: Arrival, text: str, again: int | None = None) -> LiveAnswer:
        key = f"{arrival.appid}:{arrival.key}"
        accept = partial(deliveries.accept, arrival=arrival)
        user_id = self._user(arrival.openid)
        if again is not None:
            return self._engine.regenerate(user_id, again, request_key=key, accept=accept)
        since = now_ms() - int(self._settings.conversation_idle_hours * 3_600_000)
        return self._engine.ask(user_id, text, channel=CHANNEL, request_key=key, since_ms=since, accept=accept)

    def _received(self, visit: Visit) -> Any:
        """Count the delivery; the message's row."""
        return self._database.write(deliveries.receive, visit.arrival, order=self._order(visit.arrival.openid))

    def _order(self, openid: str) -> int:
        """All rows of a follower are locked in the place of their user, or processes lock each other out."""
        return self._database.read(users.of_identity, self._appid, openid) or 0

    def _user(self, openid: str) -> int:
        user_id = self._database.read(users.of_identity, self._appid, openid)
        if user_id is None:
            user_id = self._database.write(users.sign_in, self._appid, openid)
        return user_id

    # Commands

    def command(self, word: str) -> "Callable[[Any, str], str] | None":
        if word in CLEAR:
            return self._clear
        if word in HELP:
            return lambda row, text: str(self._engine.live.options.get("help") or phrases.HELP)
        if word == HUMAN:
            return lambda row, text: self._human()
        if word == COMPLAINT or word.startswith((f"{COMPLAINT} ", f"{COMPLAINT}：", f"{COMPLAINT}:")):
            return self._complain
        return None

    def _clear(self, row: Any, _text: str) -> str:
        user_id = self._user(row.openid)
        latest = self._database.read(conversations.latest, user_id, CHANNEL, 0)
        if latest is not None:
            self._engine.forget(user_id, latest)
        self._database.write(deliveries.forget, self._appid, row.openid)
        return phrases.CLEARED

    def _human(self) -> str:
        if self._delivery.may_push():
            return phrases.TRANSFER
        return phrases.human(self._settings.human_contact)

    def _complain(self, row: Any, text: str) -> str:
        """About the last answer, if there was one."""
        reason = text[len(COMPLAINT) :].strip(" ：:\n")[:MAX_REASON_CHARS] or "（未写明）"
        turn = self._last_turn(row.openid)
        timezone = self._settings.timezone
        user_id = self._user(row.openid)
        receipt, _ = self._database.write(
            complaints.report, user_id, turn, reason, channel=CHANNEL, timezone=timezone, order=user_id
        )
        return phrases.complaint(receipt)

    def _last_turn(self, openid: str) -> Any | None:
        """The turn of a follower's last question; None if there was none."""
        latest = self._database.read(deliveries.latest_question, self._appid, openid)
        row = self._database.read(deliveries.get, latest) if latest is not None else None
        try:
            return self._database.read(turns.get, row.turn_id) if row is not None else None
        except NotFound:
            return None

    # Voice

    def _voice(self, visit: Visit) -> str | None:
        if recognised := visit.push.get("Recognition").strip():
            return self._text(visit, recognised)
        if not self._listener.configured:
            return self.say(visit, phrases.VOICE_NOT_CONFIGURED)
        row = self._received(visit)
        if row.reply is None and row.turn_id is None:
            row = self._listener.listen(row, visit.push, lambda text: self._heard(visit, text), visit.by)
        if row is None:
            return phrases.SUCCESS  # erased
        if row.reply is not None:
            return str(row.reply)
        if row.turn_id is None or row.pusher is not None:
            return self._delivery.not_heard(row, visit.last or row.arrivals >= self._settings.wechat_deliveries)
        return self._question(visit, self._database.read(turns.get, row.turn_id).question)

    def _heard(self, visit: Visit, text: str) -> None:
        """In the background: make the message a question, or say that it is none."""
        arrival = Arrival(visit.arrival.appid, visit.arrival.openid, visit.arrival.key, visit.arrival.row)
        if not text:
            self._database.write(deliveries.decide, arrival.row.id, phrases.UNSUPPORTED["voice"])
            return
        try:
            self._ask(arrival, text)
        except deliveries.AlreadyAnswered:
            pass
        except ChatError as refusal:
            self._database.write(deliveries.decide, arrival.row.id, phrases.refusal(refusal))

    # Replies that are not the model's

    def say(self, visit: Visit, text: str) -> str:
        return self.once(visit, lambda row: text)

    def once(self, visit: Visit, act: Callable[[Any], str]) -> str:
        """Do it at the first delivery; the others get the same reply."""
        row = self._received(visit)
        if row.reply is not None:
            return str(row.reply)
        text = act(row)
        if text not in (phrases.SUCCESS, phrases.TRANSFER):
            text = self._delivery.with_mention(row, text)
        return self._database.write(deliveries.decide, row.id, text, order=self._order(row.openid)) or text
