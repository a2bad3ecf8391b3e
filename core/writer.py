"""Writing an answer, in a thread of its own, from the turn's row to its final state.

    claimed turn ─ trim ─▶ messages ─ model ─▶ deltas ─ guard ─▶ LiveAnswer ─▶ final state in the database

(In the api process the threads are greenlets.) A writer never asks who is looking. It ends early only if it is
cancelled: somebody stopped the answer, the turn is not ours any more, or the process ends.
"""

import _thread
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core import logs
from core.answers import LiveAnswer, Sent, State, state_of
from core.database import Database
from core.errors import ChatError, ContentBlocked, ContextOverflow
from core.history import WritingSpeed
from core.live import LiveContent
from core.messages import Delta
from core.model import Cancelled, CogitoModel, Completion
from core.moderation import Guard
from core.prompting import Prompting, Request
from core.screening import Gate, Screening
from core.settings import Settings
from core.store import complaints, writing
from core.store.turns import Options, Status
from core.store.writing import Outcome, Progress

log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN, SPARE_CHARACTERS = 16, 4096
UNCLEAR = "我好像没太明白你的意思,能换个方式问问吗?"
Why = Literal["stopped", "lost", "released"]
OnEnd = Callable[[Any, Outcome], None]


@dataclass
class Workshop:
    """What all writers of this process share."""

    database: Database
    model: CogitoModel
    prompting: Prompting
    live: LiveContent
    speed: WritingSpeed
    settings: Settings
    pause: Callable[[], float]  # seconds to gather deltas before publishing again; 0 while few answers are written
    left: Callable[["Writer"], None]  # called when a writer has ended, however it did
    screening: Screening
    on_end: OnEnd | None  # told of each answer stored: its turn's row as it was claimed, and how it ended


class Writer:
    """One answer being written."""

    def __init__(self, shop: Workshop, process_id: int, turn: Any, answer: LiveAnswer) -> None:
        self.turn = turn
        self.answer = answer
        self.process_id = process_id
        self._shop = shop
        self._options = Options.loads(turn.options)
        self._why: Why | None = None
        self._request: Request | None = None
        self._completion: Completion | None = None
        self._began = time.monotonic()
        self._first_token: float | None = None
        self._text = shop.live.words.guard()
        self._reasoning = shop.live.words.guard()
        self._gates: dict[Guard, Gate] = {}  # where somebody else has to pass the text, too
        if shop.screening.covers(turn.channel):
            self._gates = {guard: Gate(shop.screening, turn.user_id) for guard in (self._text, self._reasoning)}
        self._saved: State | None = None
        self._cut_off = False

    def start(self) -> None:
        self.answer.local = True
        self.answer.change(State(self.turn.attempt, "answering"))
        _thread.start_new_thread(self._run, ())  # `Thread.start` would wait until the hub has time for it

    def cancel(self, why: Why) -> None:
        """End the writing, from whatever thread; the connection to the model is closed at once."""
        self._why = self._why or why
        if self._completion is not None:
            self._completion.cancel()

    def progress(self) -> Progress | None:
        """What is to be saved, if anything has come since the last time."""
        state = self.answer.state
        if state is self._saved or state.status != "answering" or not (state.text or state.reasoning):
            return None
        self._saved = state
        return Progress(self.turn.id, state.attempt, state.text, state.reasoning)

    def _run(self) -> None:
        logs.bind(turn_id=str(self.turn.id))
        try:
            outcome = self._write()
            if outcome is None or not self._finish(outcome):
                self.answer.version = -1  # not ours any more: whatever the database says next is news
                self.answer.local = False
        finally:
            self._shop.left(self)

    def _write(self) -> Outcome | None:
        """Ask the model and publish what it says; how that ended, or None if it is not ours to end."""
        status: Status = "done"
        code = None
        try:
            if self.turn.stop_requested:
                return self._outcome("stopped")
            for delta in self._bounded(self._deltas()):
                self._publish(self._guarded(self._reasoning, delta.reasoning), self._guarded(self._text, delta.text))
                if self._first_token is None:
                    self._first_token = time.monotonic()
                elif pause := self._shop.pause():
                    time.sleep(pause)
            self._publish(self._guarded(self._reasoning), self._guarded(self._text))
        except Cancelled:
            if self._why != "stopped":
                return None
            status = "stopped"
        except ContentBlocked as refusal:
            status, code = "blocked", refusal.code
        except ChatError as fault:
            log.warning("turn %s failed: %s: %s", self.turn.id, fault.code, fault)
            status, code = "failed", fault.code
        except Exception:
            log.exception("turn %s failed by a bug of ours", self.turn.id)
            status, code = "failed", "internal"
        return self._outcome(status, code)

    def _deltas(self) -> Iterator[Delta]:
        """The model's answer; asked once more with a turn less where the prompt turns out too long."""
        for shorter_by in (0, 1):
            request = self._shop.prompting.request(self.turn, self._options, shorter_by)
            self._request = request
            self._completion = completion = self._shop.model.complete(
                request.messages,
                max_tokens=request.max_tokens,
                thinking=self._options.thinking,
                temperature=self._options.temperature,
                top_p=self._options.top_p,
            )
            self.answer.sent = Sent(completion.body, request.estimate)
            if self._why:
                raise Cancelled
            try:
                yield from completion
            except ContextOverflow as overflow:
                self._shop.prompting.tokens.learn(request.estimate, overflow.prompt_tokens or 2 * request.estimate)
                if shorter_by or len(request.messages) <= 2:
                    raise
                log.info("turn %s: the prompt was too long, asking with a turn less", self.turn.id)
            else:
                if completion.usage:
                    self._shop.prompting.tokens.learn(request.estimate, completion.usage.prompt_tokens)
                return

    def _bounded(self, deltas: Iterator[Delta]) -> Iterator[Delta]:
        """As much as `max_tokens` can be at the most, and then some: no model may fill the database."""
        for delta in deltas:
            assert self._request is not None
            state, limit = self.answer.state, self._request.max_tokens * CHARACTERS_PER_TOKEN + SPARE_CHARACTERS
            left = limit - len(state.text) - len(state.reasoning)
            if len(delta.text) + len(delta.reasoning) > left:
                self._cut_off = True
                yield Delta(delta.text[: max(0, left - len(delta.reasoning))], delta.reasoning[:left])
                return
            yield delta

    def _guarded(self, guard: Guard, piece: str | None = None) -> str:
        """What the guard lets through of a piece, or (without one) of what it still holds."""
        gate = self._gates.get(guard)
        try:
            text = guard.flush() if piece is None else guard.feed(piece) if piece else ""
        except ContentBlocked:
            if gate is not None:
                raise
            before = guard.released
            self._publish(*((before, "") if guard is self._reasoning else ("", before)))
            raise
        if gate is None or not (text or piece is None):
            return text
        return gate.feed(text) + (gate.flush() if piece is None else "")

    def _publish(self, reasoning: str, text: str) -> None:
        state = self.answer.state
        if not state.text:
            text = text.lstrip()
        if text or reasoning:
            self.answer.change(state._replace(reasoning=state.reasoning + reasoning, text=state.text + text))

    def _outcome(self, status: Status, code: str | None = None) -> Outcome:
        """The turn's final state, whole: text, and all that is known of how it came about."""
        if status in ("stopped", "failed"):
            try:
                self._publish(self._guarded(self._reasoning), self._guarded(self._text))
            except ContentBlocked as refusal:
                status, code = "blocked", refusal.code
        state, completion, now = self.answer.state, self._completion, time.monotonic()
        usage = completion.usage if completion else None
        text = state.text
        if status == "done":
            if len(text.strip()) < self._shop.settings.min_reply_chars:
                text = UNCLEAR
            elif self._first_token is not None:
                self._shop.speed.learn(len(text) + len(state.reasoning), now - self._first_token)
        hits = [asdict(hit) | {"in": "answer"} for hit in (*self._text.hits, *self._reasoning.hits)]
        if any(gate.risky for gate in self._gates.values()):
            hits.append({"word": "内容安全接口", "action": "block", "in": "answer"})
        return Outcome(
            status=status,
            code=code,
            answer=text,
            reasoning=state.reasoning,
            # Readers saw something else than what stays: they must replace it.
            replaced=bool(state.text or state.reasoning) and (text != state.text or status == "blocked"),
            finish_reason="length" if self._cut_off else completion.finish_reason if completion else None,
            prompt_version=self._request.prompt_version if self._request else None,
            model=completion.model if completion else None,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            first_token_ms=_ms(self._first_token - self._began) if self._first_token else None,
            duration_ms=_ms(now - self._began),
            hits=[*orjson.loads(self.turn.hits or "[]"), *hits],
        )

    def _finish(self, outcome: Outcome) -> bool:
        """Store the final state, then show it; False if the turn is not ours any more.

        An answer is worth waiting for a database that is away for a while; one that no database takes has failed.
        """
        turn, pause = self.turn, 0.1
        while self._why in (None, "stopped"):
            try:
                ours = self._shop.database.write(self._store, outcome, order=turn.user_id or 0)
            except (OperationalError, InterfaceError, PoolTimeout) as fault:
                log.error("turn %s could not be stored, trying again: %s", turn.id, fault)
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
                continue
            except DBAPIError:
                log.exception("turn %s cannot be stored", turn.id)
                if outcome.code == "internal":
                    raise
                outcome = Outcome("failed", "", "", code="internal")
                continue
            if ours:
                self.answer.change(state_of(outcome, turn.attempt + outcome.replaced))
                if self._shop.on_end is not None:
                    self._shop.on_end(turn, outcome)
            return ours
        return False

    def _store(self, connection: Connection, outcome: Outcome) -> bool:
        ours = writing.finish(connection, self.turn.id, self.process_id, self.turn.attempt, outcome)
        if ours and any(gate.review for gate in self._gates.values()):
            timezone = self._shop.settings.timezone
            complaints.ask_for_review(connection, self.turn.id, "内容安全接口建议复核回答", timezone)
        return ours


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
