"""A second opinion on what is asked and answered, beside the word filter: somebody else's check of a text.

The engine asks a `Screening` about questions, the writers about answers: `Gate` lets an answer through sentence by
sentence. Who checks, and what it means that he does not answer, is the business of whoever passes one in.
"""

import re
from typing import Literal, Protocol

from core.errors import ContentBlocked

Verdict = Literal["pass", "review", "risky"]  # review: shown, but a human should look at it

LONGEST_SENTENCE = 300  # characters after which it is checked as far as it is
OVERLAP = 50  # characters seen again where a sentence was cut
_ENDS = re.compile(r"""[。！？!?…；;\n]+["'”’』」）)]*|\.(?=\s)""")


class Screening(Protocol):
    def covers(self, channel: str) -> bool:
        """Whether texts of this channel are checked at all."""

    def judge(self, user_id: int, text: str) -> Verdict:
        """What is to be done with a text that a user asked or is about to read; it never raises."""


class NoScreening:
    """The word filter is all there is."""

    def covers(self, channel: str) -> bool:
        return False

    def judge(self, user_id: int, text: str) -> Verdict:
        return "pass"


class Gate:
    """Holds one text back while it is written, until whole sentences of it have passed."""

    def __init__(self, screening: Screening, user_id: int) -> None:
        self.review = False  # something in it wants a human
        self.risky = False  # something in it nobody may read
        self._screening = screening
        self._user_id = user_id
        self._held = ""
        self._before = ""  # the end of what was released in the middle of a sentence

    def feed(self, piece: str) -> str:
        """What may be shown now; raises ContentBlocked."""
        self._held += piece
        end = 0
        for match in _ENDS.finditer(self._held):
            end = match.end()
        if not end and len(self._held) >= LONGEST_SENTENCE:
            end = len(self._held)
        return self._release(end)

    def flush(self) -> str:
        """The text is complete: the rest of it."""
        return self._release(len(self._held))

    def _release(self, end: int) -> str:
        text, self._held = self._held[:end], self._held[end:]
        if not text.strip():
            self._held = text + self._held
            return ""
        verdict = self._screening.judge(self._user_id, self._before + text)
        if verdict == "risky":
            self.risky = True
            raise ContentBlocked("screening")
        self.review = self.review or verdict == "review"
        self._before = "" if _ENDS.search(text[-3:]) else text[-OVERLAP:]
        return text
