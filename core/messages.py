"""Plain values that travel between the parts; they know nothing of storage or of the wire."""

from dataclasses import dataclass
from typing import Literal, TypedDict

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One entry of the list sent to the model."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user wrote and what we said."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Delta:
    """One streamed piece of a completion; `reasoning` comes before `text`."""

    text: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the model counts them."""

    prompt_tokens: int
    completion_tokens: int
