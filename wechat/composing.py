"""What one message shows of an answer: a piece of it, what stands around it, and how much has been shown then."""

from collections.abc import Sequence
from typing import Any

from core.answers import LiveAnswer
from core.errors import ContentBlocked
from core.settings import Settings
from core.store.deliveries import LOST_MS, Showing, digest
from core.tables import now_ms
from wechat import phrases
from wechat.pieces import Piece, characters_left, cut, fit, paragraphs, size
from wechat.plain import plain
from wechat.waiting import Waiting

HINT_ROOM = 120  # bytes, for the longest hint of the rest
MOST_PUSHED = 5  # customer-service messages WeChat allows for each message of the user


class Composer:
    """Words only; whoever calls it stores the `Showing`, and then the text is shown."""

    def __init__(self, settings: Settings, waiting: Waiting) -> None:
        self._bytes = settings.wechat_text_bytes
        self._label = f"\n\n（{settings.ai_label}）"
        self._waiting = waiting

    def passive(
        self,
        row: Any,
        answer: LiveAnswer,
        *,
        beside: Sequence[Any],
        heading: bool,
        least: int = 0,
        more: str = "rest",
    ) -> tuple[str, Showing]:
        """A passive reply. `beside` are other answers of this follower; `least` characters are worth a 继续.

        What is left of a finished answer is in the state `more` then: `rest` waits for 继续, `push` is sent.
        """
        after = ""
        if has_rest(beside):
            after = f"\n{phrases.MORE_BESIDE if least else phrases.MORE_BEFORE}"
        start, before = self._beginning(row, answer, heading)
        if start is None or not answer.final:
            return self._unfinished(row, answer, start, before, after, least)
        if (said := self._wordless(answer, start)) is not None:
            return before + said + after, _all(row, answer)
        raw = answer.state.text
        piece = cut(raw, start, self._room(before, after), final=True, at_least=least)
        if piece.end >= len(raw):
            return self._around(before, piece, _ending(answer, start > 0), after), _all(row, answer)
        hint = phrases.more_left(characters_left(raw, piece.end)) if more == "rest" else ""
        return self._around(before, piece, hint, after), _part(row, raw, piece, more)

    def pushed(
        self, row: Any, answer: LiveAnswer, heading: bool, room: int | None = None
    ) -> tuple[str, Showing] | None:
        """The next customer-service message; None while there is nothing worth one."""
        start, before = self._beginning(row, answer, heading)
        if start is None:
            return None
        raw, last = answer.state.text, row.pushed + 1 >= MOST_PUSHED
        room = min(room or self._bytes, self._room(before, ""))
        if not answer.final:
            piece = paragraphs(raw, start, room)
            if not piece.text:
                return None
            return self._around(before, piece, "", ""), _part(row, raw, piece, "push")
        if (said := self._wordless(answer, start)) is not None:
            return before + said, _all(row, answer)
        piece = cut(raw, start, room, final=True)
        if piece.end >= len(raw):
            return self._around(before, piece, _ending(answer, start > 0), ""), _all(row, answer)
        hint = phrases.more_left(characters_left(raw, piece.end)) if last else ""
        return self._around(before, piece, hint, ""), _part(row, raw, piece, "rest" if last else "push")

    def _unfinished(
        self, row: Any, answer: LiveAnswer, start: int | None, before: str, after: str, least: int
    ) -> tuple[str, Showing]:
        raw, told = answer.state.text, self._waiting.told(answer)
        kept = Showing(row, row.shown, row.shown_hash, "rest")
        if start is None:  # written anew, and not yet as far as it was
            return before + phrases.too_early(0, told) + after, kept
        piece = cut(raw, start, self._room(before, after), final=False, at_least=least)
        if not piece.text or piece.end - start < least:
            if not (start or least):
                return before + phrases.nothing_yet(told) + after, kept
            left = characters_left(raw, start) if raw[start:].strip() else 0
            return before + phrases.too_early(left, told) + after, kept
        return self._around(before, piece, phrases.still_writing(told), after), _part(row, raw, piece, "rest")

    def _beginning(self, row: Any, answer: LiveAnswer, heading: bool) -> tuple[int | None, str]:
        """From where on the answer is to be shown, and what is said before it.

        Another attempt may have written another text than the one that was shown in part: then it is shown whole.
        None: it is too short yet to tell.
        """
        raw, start = answer.state.text, row.shown
        before = phrases.about(answer.turn.question) if heading else ""
        if not start or digest(raw[:start]) == row.shown_hash:
            return start, before
        if not answer.final and len(raw) <= start:
            return None, before
        return 0, before + (phrases.AFRESH if raw.strip() else "")

    def _wordless(self, answer: LiveAnswer, start: int) -> str | None:
        """What is said where a finished answer has no (more) words of its own."""
        error, state = answer.error, answer.state
        if not isinstance(error, ContentBlocked) and plain(state.text, start):
            return None
        if error is not None:
            return phrases.refusal(error)
        if start:
            return phrases.END
        return phrases.STOPPED if state.status == "stopped" else phrases.SORRY

    def _room(self, before: str, after: str) -> int:
        return self._bytes - size(before) - size(after) - size(self._label) - HINT_ROOM

    def _around(self, before: str, piece: Piece, hint: str, after: str) -> str:
        text = before + piece.text + self._label + (f"\n{hint}" if hint else "") + after
        return fit(text, self._bytes)


def _ending(answer: LiveAnswer, several: bool) -> str:
    if answer.error is not None:
        return phrases.BROKEN_OFF
    return phrases.END if several else ""


def _part(row: Any, raw: str, piece: Piece, state: str) -> Showing:
    return Showing(row, piece.end, digest(raw[: piece.end]), state)


def _all(row: Any, answer: LiveAnswer) -> Showing:
    raw = answer.state.text
    return Showing(row, len(raw), digest(raw), "shown")


def has_rest(rows: Sequence[Any]) -> bool:
    """Whether one of these answers waits for a 继续; those just being answered or pushed do not."""
    lost = now_ms() - LOST_MS
    return any(
        row.state in ("rest", "undeliverable") or (row.state == "new" and row.created_at < lost) for row in rows
    )
