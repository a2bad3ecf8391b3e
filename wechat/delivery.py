"""How an answer reaches a follower in passive replies: whole, or as far as it is, and then piece by piece by 继续.

Nothing is remembered here. Which reply a message got, and how far an answer has been shown, are rows
(`core/store/deliveries.py`), so any process can go on where another was killed.
"""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from core.alerts import Alerts
from core.answers import LiveAnswer
from core.database import Database
from core.engine import ChatEngine
from core.errors import NotFound
from core.settings import Settings
from core.store import accounts, deliveries, turns, users
from core.store.deliveries import Arrival, Showing
from wechat import phrases
from wechat.composing import Composer, has_rest
from wechat.pieces import MIN_PIECE_CHARS, fit, size
from wechat.plain import usable
from wechat.pulse import Pulse
from wechat.waiting import UNKNOWN_SECONDS, Waiting

LOOK_SECONDS = 1.0
EARLIER_SECONDS = 1.0  # 继续 is answered so much earlier: many who were told the same time send it at the same time
SLICE_SECONDS = 0.2  # after so long a look at how far behind we are
LAST = 1 << 63  # the account's row is locked after those of all followers, or two processes lock each other out
DELIVERY_SECONDS = 5.0  # how long WeChat waits before it delivers again


class Delivery:
    """Decides what a delivery is answered."""

    def __init__(
        self,
        engine: ChatEngine,
        database: Database,
        settings: Settings,
        waiting: Waiting,
        composer: Composer,
        alerts: Alerts,
    ) -> None:
        self._engine = engine
        self._database = database
        self._settings = settings
        self._appid = settings.official_appid
        self._waiting = waiting
        self._alerts = alerts
        self._allowed, self._look_at = True, 0.0
        self.pulse = Pulse()
        self._composer = composer

    def may_push(self) -> bool:
        """Whether customer-service messages are allowed, as far as we have heard within the last second."""
        if not self._settings.wechat_customer_service:
            return False
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._allowed = self._database.read(accounts.may_push, self._appid)
        return self._allowed

    # The answer to what was just asked

    def answer(self, arrival: Arrival, answer: LiveAnswer, by: float, may_be_silent: bool) -> str | None:
        """The reply to a delivery of a question, at the latest at `by` (monotonic); None: let WeChat come again."""
        row = arrival.row
        with self.pulse.waiting():
            while not answer.final and (left := self._left(by)) > 0:
                if answer.wait_until_final(min(left, SLICE_SECONDS)) or answer.interrupted:
                    break
        pushes = not answer.final and self.may_push()
        if not answer.final and not pushes and may_be_silent and self._worth_silence(row, answer):
            return None
        began = time.monotonic()
        try:
            return self._decide(arrival, answer, pushes)
        finally:
            self.pulse.decided(time.monotonic() - began)

    def _worth_silence(self, row: Any, answer: LiveAnswer) -> bool:
        """Whether the answer may be there when WeChat comes again, and we have not been silent too often."""
        left = self._waiting.seconds_left(answer)
        chances = self._settings.wechat_deliveries - row.arrivals
        if chances <= 0 or (left is not None and left > chances * DELIVERY_SECONDS):
            return False
        return self._be_silent(row)

    def _be_silent(self, row: Any) -> bool:
        limit = self._settings.wechat_silent_per_5_min
        silent = self._database.write(_be_silent, self._appid, row.id, limit, order=LAST)
        if silent is False and limit:
            self._alerts.tell(
                "silence",
                f"5 分钟内已有 {limit} 次推送没能及时回复，之后的提问先回复“正在写”。请看看模型是不是变慢了。",
            )
        return bool(silent)

    def _decide(self, arrival: Arrival, answer: LiveAnswer, pushes: bool) -> str | None:
        row = arrival.row
        others = [one for one in arrival.others if one.id != row.id]
        more = "push" if self.may_push() else "rest"
        while True:
            if pushes:
                text, showing = phrases.SUCCESS, Showing(row, row.shown, row.shown_hash, "push")
            else:
                text, showing = self._composer.passive(row, answer, beside=others, heading=False, more=more)
            reply = self._database.write(deliveries.decide, row.id, text, showing, order=answer.turn.user_id or 0)
            if reply is not None:
                arrival.showing = showing
                return reply
            # Somebody else has shown a part of it meanwhile.
            row = self._database.read(deliveries.get, row.id)
            if row is None:
                return phrases.SUCCESS  # erased
            if row.reply is not None:
                return str(row.reply)
            if row.state == "shown" or row.pusher is not None:
                return self._database.write(deliveries.decide, row.id, phrases.SUCCESS) or phrases.SUCCESS

    def not_heard(self, row: Any, last: bool) -> str | None:
        """The reply to a voice message that is still being transcribed."""
        if self.may_push():
            text, state = phrases.SUCCESS, "push"
        elif not last and self._be_silent(row):
            return None
        else:
            text, state = phrases.nothing_yet(UNKNOWN_SECONDS), "rest"
        reply = self._database.write(deliveries.decide, row.id, text)
        self._database.write(deliveries.set_state, row.id, ("new",), state)
        return reply

    def unseen(self, arrival: Arrival, reply: str) -> None:
        """Nobody has seen the reply: what it showed was not shown, and the delivery was a silent one."""
        self.pulse.missed()
        order = self._database.read(users.of_identity, self._appid, arrival.openid) or 0
        if arrival.showing is not None and reply != phrases.SUCCESS:
            self._database.write(deliveries.take_back, arrival, reply, order=order)
        self._database.write(accounts.count_silence, self._appid, order=LAST)

    # 继续

    def go_on(self, arrival: Arrival, by: float) -> str | None:
        """The reply to 继续: what came after; None where nothing is left to be shown."""
        own, wait_until = arrival.row, by - EARLIER_SECONDS
        while True:
            waiting = self._unfinished(own.openid, besides=own.id)
            known = [(row, answer) for row in waiting if (answer := self._find(row)) is not None]
            if not known:
                return None
            row, answer = self._next(known, wait_until)
            beside = [one for one, _ in known if one.id != row.id]
            heading = self._database.read(deliveries.latest_question, self._appid, own.openid) != row.id
            text, showing = self._composer.passive(row, answer, beside=beside, heading=heading, least=MIN_PIECE_CHARS)
            reply = self._database.write(deliveries.decide, own.id, text, showing, order=answer.turn.user_id or 0)
            if reply is not None:
                arrival.showing = showing
                return reply
            if time.monotonic() > by:
                return phrases.too_early(0, self._waiting.told(answer))
            time.sleep(0.1)

    def _next(self, known: Sequence[tuple[Any, LiveAnswer]], by: float) -> tuple[Any, LiveAnswer]:
        """Whose turn it is: the answer shown last, then the oldest; rather one that has something to show."""
        shown = [pair for pair in known if pair[0].shown]
        order = sorted(shown, key=lambda pair: -(pair[0].shown_at or 0))
        order += [pair for pair in known if not pair[0].shown]
        for pair in order:
            if self._ready(*pair):
                return pair
        row, answer = order[0]
        cursor = answer.look().next
        with self.pulse.waiting():
            while not self._ready(row, answer) and not answer.interrupted and (left := self._left(by)) > 0:
                cursor = answer.wait(cursor, min(left, SLICE_SECONDS)).next
        return row, answer

    def _left(self, by: float) -> float:
        """How long a reply that is due at `by` may still be waited for; less the more this process is behind."""
        return by - self.pulse.margin - time.monotonic()

    def _ready(self, row: Any, answer: LiveAnswer) -> bool:
        return answer.final or len(answer.state.text) - row.shown >= MIN_PIECE_CHARS

    def _find(self, row: Any) -> LiveAnswer | None:
        try:
            turn = self._database.read(turns.get, row.turn_id)
        except NotFound:
            return None
        return self._engine.answer_of(turn)

    def with_mention(self, own: Any, text: str) -> str:
        """The reply to whatever message this is, as it fits; with a mention of another answer's rest."""
        waiting = self._unfinished(own.openid, besides=own.id)
        more = f"\n{phrases.MORE_BEFORE}" if has_rest(waiting) else ""
        return fit(usable(text), self._settings.wechat_text_bytes - size(more)) + more

    def _unfinished(self, openid: str, besides: int) -> Sequence[Any]:
        rows = self._database.read(deliveries.unfinished, self._appid, openid)
        return [row for row in rows if row.id != besides]


def _be_silent(connection: Connection, appid: str, delivery_id: int, limit: int) -> bool | None:
    """None: a delivery beside this one has answered already."""
    current = deliveries.get(connection, delivery_id)
    if current is None or current.reply is not None:
        return None
    return accounts.be_silent(connection, appid, limit)
