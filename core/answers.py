"""LiveAnswer: an answer is a thing being written, and anyone may look at it.

Who writes it (this process, or another one on another machine) makes no difference to those who look: they read
from a cursor, wait for more, or wait for the end. Whoever leaves stops nothing.
"""

import threading
import time
import weakref
from typing import Any, NamedTuple

from core.errors import ChatError, InvalidField, error_of

FINAL = ("done", "stopped", "failed", "blocked")


class Cursor(NamedTuple):
    """How far a reader is: in which attempt, and after how many characters of reasoning and text."""

    attempt: int = 0
    reasoning: int = 0
    text: int = 0

    def __str__(self) -> str:
        return f"{self.attempt}.{self.reasoning}.{self.text}"

    @classmethod
    def parse(cls, written: str | None) -> "Cursor":
        """The cursor a client sends back; raises InvalidMessage for one we never gave."""
        if not written:
            return cls()
        parts = written.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
            raise InvalidField("after", "not a cursor of ours")
        return cls(*map(int, parts))


class State(NamedTuple):
    """Everything about an answer that changes; replaced as a whole, so a reader never sees half a change."""

    attempt: int
    status: str
    reasoning: str = ""
    text: str = ""
    code: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Look(NamedTuple):
    """What a reader sees from their cursor on."""

    state: State
    reset: bool  # what was shown so far is void: this is all of it
    reasoning: str
    text: str
    next: Cursor
    interrupted: bool  # this process is about to end; the answer goes on elsewhere

    @property
    def final(self) -> bool:
        return self.state.status in FINAL

    @property
    def news(self) -> bool:
        return bool(self.text or self.reasoning or self.reset or self.final)


class Sent(NamedTuple):
    """What was really sent to the model, and how many tokens its messages were thought to have."""

    body: dict[str, Any]
    estimate: int


class LiveAnswer:
    """One answer, being written or finished."""

    __slots__ = ("__weakref__", "_changed", "interrupted", "local", "sent", "state", "turn", "version")

    def __init__(self, turn: Any) -> None:
        self.turn = turn  # the row when it was accepted or first looked at: question, user, conversation, …
        self.local = False  # written by this process
        self.sent: Sent | None = None  # to the model, by this process
        self.version = turn.version
        self.interrupted = False
        self.state = state_of(turn)
        self._changed = threading.Event()

    def look(self, cursor: Cursor = Cursor()) -> Look:  # noqa: B008 (immutable)
        """What there is after the cursor."""
        state = self.state
        attempt, reasoning, text = cursor
        reset = False
        if attempt != state.attempt:
            reset = bool(reasoning or text)
            reasoning = text = 0
        end = Cursor(state.attempt, len(state.reasoning), len(state.text))
        if state.status not in FINAL:
            # Another process showed this reader more than we know yet: they must not be sent back.
            end = Cursor(state.attempt, max(reasoning, end.reasoning), max(text, end.text))
        return Look(state, reset, state.reasoning[reasoning:], state.text[text:], end, self.interrupted)

    def wait(self, cursor: Cursor, seconds: float) -> Look:
        """Look; if there is nothing new, wait for it for at most `seconds`."""
        give_up = time.monotonic() + seconds
        while True:
            changed = self._changed  # before looking, so that no change is missed
            look = self.look(cursor)
            left = give_up - time.monotonic()
            if look.news or look.interrupted or left <= 0:
                return look
            changed.wait(left)

    def wait_until_final(self, seconds: float) -> bool:
        """Wait for the end for at most `seconds`; tell whether it has come."""
        give_up = time.monotonic() + seconds
        while True:
            changed = self._changed
            if self.final:
                return True
            left = give_up - time.monotonic()
            if left <= 0 or self.interrupted:
                return False
            changed.wait(left)

    @property
    def final(self) -> bool:
        return self.state.status in FINAL

    @property
    def error(self) -> ChatError | None:
        """What it failed with, as the error it was."""
        return failure(self.state)

    def change(self, state: State) -> None:
        """Show a new state to everyone who waits."""
        self.state = state
        changed, self._changed = self._changed, threading.Event()
        changed.set()

    def update(self, turn: Any) -> None:
        """Take over what the database says (the answer is written elsewhere)."""
        self.turn, self.version = turn, turn.version
        self.change(state_of(turn))

    def interrupt(self) -> None:
        """Send everyone away who waits here: they come back to another process."""
        self.interrupted = True
        self._changed.set()


def state_of(turn: Any, attempt: int | None = None) -> State:
    """The state a turn's row tells, or its outcome in this attempt.

    The text of a blocked answer stays in the log and is shown to nobody.
    """
    shown = turn.status != "blocked"
    return State(
        attempt=turn.attempt if attempt is None else attempt,
        status=turn.status,
        reasoning=turn.reasoning if shown else "",
        text=turn.answer if shown else "",
        code=turn.code,
        finish_reason=turn.finish_reason,
        prompt_tokens=turn.prompt_tokens,
        completion_tokens=turn.completion_tokens,
    )


def failure(state: State) -> ChatError | None:
    """What an answer in this state failed with, as the error it was."""
    if state.status not in ("failed", "blocked"):
        return None
    return error_of(state.code)(f"the answer ended in {state.code}")


class Answers:
    """The answers somebody in this process writes or looks at: one LiveAnswer per turn."""

    def __init__(self) -> None:
        self._known: weakref.WeakValueDictionary[int, LiveAnswer] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, turn: Any) -> LiveAnswer:
        """The LiveAnswer of a turn's row; a finished one is made from the row and forgotten with its reader."""
        with self._lock:
            answer = self._known.get(turn.id)
            if answer is None:
                answer = LiveAnswer(turn)
                if not answer.final:
                    self._known[turn.id] = answer
        if not answer.local and not answer.final and turn.version > answer.version:
            answer.update(turn)
        elif answer.final and turn.status in FINAL:
            answer.turn = turn  # it may have been rated since
        return answer

    def awaited(self) -> dict[int, LiveAnswer]:
        """Those written elsewhere that are not finished as far as we know."""
        with self._lock:
            return {key: one for key, one in self._known.items() if not one.local and not one.final}

    def interrupt(self) -> None:
        with self._lock:
            known = list(self._known.values())
        for answer in known:
            answer.interrupt()
