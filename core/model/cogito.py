"""The language model: messages in, a completion out, from any OpenAI-compatible endpoint."""

import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from core.errors import ModelError
from core.messages import Message
from core.model.completion import Completion, Deadlines
from core.model.endpoints import Endpoint, Endpoints, EndpointState
from core.model.exchange import Exchange
from core.model.wire import Adapter, Line, translated_errors

THINKING = "Enable deep thinking subroutine."


class CogitoModel:
    """`complete` is all the engine needs of it; one instance serves any number of threads.

    `endpoints` may be a function, asked before each try. `tries` bounds how often a completion that has not
    begun is asked for; each endpoint is tried at least once. `verify` may name a file of trusted certificates.
    """

    def __init__(
        self,
        endpoints: Callable[[], Sequence[Endpoint]] | Sequence[Endpoint],
        *,
        first_token_seconds: float,
        idle_seconds: float,
        total_seconds: float,
        connect_seconds: float = 5,
        pool_size: int = 512,
        tries: int = 4,
        verify: bool | str = True,
    ) -> None:
        self._endpoints = Endpoints(endpoints)
        self._adapter = Adapter(pool_size, verify)
        self._deadlines = Deadlines(connect_seconds, first_token_seconds, idle_seconds, total_seconds)
        self._tries = tries

    def complete(
        self,
        messages: list[Message],
        *,
        max_tokens: int,
        thinking: bool = False,
        temperature: float | None = None,
        top_p: float | None = None,
    ) -> Completion:
        """A completion to iterate; nothing is sent before that."""
        body: dict[str, Any] = {
            "messages": with_thinking(messages) if thinking else messages,
            "max_tokens": max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if temperature is not None:
            body["temperature"] = temperature
        if top_p is not None:
            body["top_p"] = top_p
        return Completion(self._endpoints, self._adapter, self._deadlines, self._tries, body)

    def endpoints_state(self) -> list[EndpointState]:
        return self._endpoints.state()

    def ping(self, seconds: float = 2.0) -> str | None:
        """None if one of the endpoints answers within `seconds`, else a short reason."""
        by = time.monotonic() + seconds
        reason = "the model is not running"
        for endpoint in self._endpoints.all():
            try:
                status = self._ping(endpoint, by - time.monotonic())
            except ModelError as error:
                reason = str(error)
                continue
            if status in (401, 403):
                reason = f"the model refused the key (HTTP {status})"
            elif status == 429 or status >= 500:
                reason = f"the model is not available (HTTP {status})"
            else:
                return None  # whoever has no list of models still answers
        return reason

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _ping(self, endpoint: Endpoint, seconds: float) -> int:
        path = urlsplit(endpoint.url).path.removesuffix("/chat/completions") + "/models"
        url = urlsplit(endpoint.url)._replace(path=path).geturl()
        exchange = Exchange(Line(), self._adapter)
        try:
            with translated_errors():
                exchange.send(self._adapter.request("GET", url, endpoint.key), seconds, seconds)
                return exchange.status
        finally:
            exchange.leave()


def with_thinking(messages: list[Message]) -> list[Message]:
    """Cogito thinks before it answers when its system message begins with this sentence."""
    if not messages or messages[0]["role"] != "system":
        return [{"role": "system", "content": THINKING}, *messages]
    return [{"role": "system", "content": f"{THINKING}\n\n{messages[0]['content']}"}, *messages[1:]]
