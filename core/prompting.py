"""What is sent to the model for a turn: the live system prompt, as much history as fits, the question."""

from typing import Any, NamedTuple

import orjson

from core.database import Database
from core.history import MESSAGE_TOKENS, TokenEstimator, as_messages, count_turns, trim, trim_messages
from core.live import LiveContent, Prompt
from core.messages import Message
from core.model.source import ModelSource
from core.settings import Settings
from core.store import turns
from core.store.turns import Options


class Request(NamedTuple):
    """A request to the model, ready to be sent."""

    messages: list[Message]
    estimate: int  # tokens of the messages
    max_tokens: int
    prompt_version: int | None


class Prompting:
    """Builds requests; learns from the model's own counts how many tokens a text has."""

    def __init__(self, database: Database, live: LiveContent, source: ModelSource, settings: Settings) -> None:
        self._database = database
        self._live = live
        self._source = source
        self._settings = settings
        self.tokens = TokenEstimator()

    def request(self, turn: Any, options: Options, shorter_by: int = 0) -> Request:
        """The request for a turn's row; `shorter_by` turns of history are left out, the oldest first.

        The system prompt and the question are always kept. The answer may take `max_tokens`, but never more
        than half of the context.
        """
        context = self._source.facts().context_tokens
        answer = min(options.max_tokens, context // 2)
        prompt = self._live.prompt(turn.channel)
        if options.prompt is not None:
            prompt = Prompt(options.prompt_version, options.prompt)
        fixed = self._estimate(as_messages(prompt.text, [], turn.question))
        budget = max(0, context - answer - fixed)
        keep = self._settings.max_history_turns if options.history_turns is None else options.history_turns
        if turn.context is not None:
            earlier = [*orjson.loads(turn.context), {"role": "user", "content": turn.question}]
            told = trim_messages(earlier, budget, keep, self.tokens.estimate)
            if shorter_by:
                told = trim_messages(told, budget, count_turns(told) - shorter_by, self.tokens.estimate)
            messages = [*as_messages(prompt.text, [], "")[:-1], *told]
        else:
            history = []
            if turn.seq and turn.seq > 1 and keep:
                history = self._database.read(turns.history, turn.conversation_id, turn.seq, keep)
            history = trim(history, budget, keep, self.tokens.estimate)
            messages = as_messages(prompt.text, history[shorter_by:], turn.question)
        estimate = self._estimate(messages)
        return Request(messages, estimate, max(1, min(answer, context - estimate)), prompt.version)

    def _estimate(self, messages: list[Message]) -> int:
        return sum(self.tokens.estimate(message["content"]) + MESSAGE_TOKENS for message in messages)
