"""What the model is told of the past: the last whole turns, within a budget of tokens.

Nobody knows the number of tokens before the model has counted them, so it is estimated, and the estimate learns
from what the model reports. The same goes for how long an answer still takes.
"""

from collections.abc import Callable, Sequence
from math import ceil

from core.messages import Message, Turn

MESSAGE_TOKENS = 5  # role and markers around each message


class TokenEstimator:
    """Guesses a little high at first (Llama 3: 0.75 to 1 token per Chinese character), then learns."""

    TOKENS_PER_CHARACTER = 1.0
    TOKENS_PER_ASCII = 1 / 3.5
    LOWEST, HIGHEST = 0.25, 4.0
    WEIGHT = 0.1  # of one report

    def __init__(self) -> None:
        self.factor = 1.0

    def estimate(self, text: str) -> int:
        ascii_ = len(text.encode("ascii", "ignore"))
        return ceil(self.factor * (ascii_ * self.TOKENS_PER_ASCII + (len(text) - ascii_) * self.TOKENS_PER_CHARACTER))

    def learn(self, estimated: int, actual: int) -> None:
        """The model counted `actual` tokens where `estimate` said `estimated`."""
        if estimated <= 0 or actual <= 0:
            return
        seen = min(max(self.factor * actual / estimated, self.LOWEST), self.HIGHEST)
        self.factor += self.WEIGHT * (seen - self.factor)


Estimate = Callable[[str], int]


def trim(turns: Sequence[Turn], budget_tokens: int, max_turns: int, estimate: Estimate) -> list[Turn]:
    """The newest turns, at most `max_turns`, that fit the budget together; in their order."""
    costs = [estimate(turn.question) + estimate(turn.answer) + 2 * MESSAGE_TOKENS for turn in turns]
    return list(turns[_first_kept(costs, budget_tokens, max_turns) :])


def trim_messages(
    messages: Sequence[Message], budget_tokens: int, max_turns: int, estimate: Estimate
) -> list[Message]:
    """The same for a list kept by the client: the newest whole turns, and the question, which is the last message.

    A turn begins where the user speaks after an answer: several messages of one side in a row stay together, and
    answers to nothing are dropped. The budget is for the turns; the question stays whatever it costs.
    """
    if not messages:
        return []
    *past, question = messages
    turns: list[list[Message]] = []
    for before, message in zip([None, *past], past, strict=False):
        if message["role"] == "user" and (before is None or before["role"] != "user"):
            turns.append([])
        if turns:
            turns[-1].append(message)
    costs = [sum(estimate(message["content"]) + MESSAGE_TOKENS for message in turn) for turn in turns]
    kept = turns[_first_kept(costs, budget_tokens, max_turns) :]
    return [message for turn in kept for message in turn] + [question]


def count_turns(messages: Sequence[Message]) -> int:
    """How many turns stand before the question, which is the last message."""
    past = [message["role"] for message in messages[:-1]]
    return sum(role == "user" and before != "user" for before, role in zip([None, *past], past, strict=False))


def as_messages(system: str, turns: Sequence[Turn], question: str) -> list[Message]:
    """The prompt; without a system message where there is nothing to say in it."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for turn in turns:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    return [*messages, {"role": "user", "content": question}]


def _first_kept(costs: Sequence[int], budget: int, most: int) -> int:
    """From which of the costs on all fit the budget, counting back from the last one, at most `most` of them."""
    first = len(costs)
    while first > max(0, len(costs) - most) and costs[first - 1] <= budget:
        first -= 1
        budget -= costs[first]
    return first


class WritingSpeed:
    """How fast the model writes and how long its answers become, to say "about 40 s more".

    Sums that fade, so that recent answers count more, and long ones more than short ones.
    """

    FADE = 0.9  # per answer
    LEAST_LEFT = 0.2  # of a usual answer, where this one is already longer

    def __init__(self, characters: float = 400.0, seconds: float = 20.0) -> None:
        """Starts as if one answer of so many characters had taken so many seconds."""
        self._answers, self._characters, self._seconds = 1.0, characters, seconds

    def learn(self, characters: int, seconds: float) -> None:
        """An answer was finished."""
        if characters <= 0 or seconds <= 0:
            return
        self._answers = self.FADE * self._answers + 1
        self._characters = self.FADE * self._characters + characters
        self._seconds = self.FADE * self._seconds + seconds

    @property
    def usual_length(self) -> float:
        """Characters of a finished answer."""
        return self._characters / self._answers

    def seconds_for(self, characters: float) -> float:
        return characters * self._seconds / self._characters

    def remaining_seconds(self, written_characters: int, elapsed: float) -> float:
        """How long an answer will still take that has so many characters after so many seconds.

        Its own pace counts as much as what was learnt, once half of a usual answer is written, and less before.
        """
        usual = self.usual_length
        left = max(usual - written_characters, self.LEAST_LEFT * usual)
        learnt = self.seconds_for(left)
        if written_characters <= 0 or elapsed <= 0:
            return learnt
        trust = min(0.5, written_characters / usual)
        return (1 - trust) * learnt + trust * left * elapsed / written_characters
