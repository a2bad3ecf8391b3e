"""An answer as a stream of server-sent events."""

from collections.abc import Iterator
from typing import Any

import orjson
from flask import Response

from core.answers import Cursor, LiveAnswer, State, failure
from wechat.wording import sentence

SILENCE_SECONDS = 15  # then a comment shows everyone on the way that the line lives
_PING = b": \n\n"
HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}


def stream(answer: LiveAnswer, cursor: Cursor) -> Response:
    """The response that shows the answer from the cursor on, while it is being written."""
    return Response(events(answer, cursor), headers=HEADERS, content_type="text/event-stream; charset=utf-8")


def events(answer: LiveAnswer, cursor: Cursor) -> Iterator[bytes]:
    """`start`, then `reasoning`, `delta` and `reset` as they come, then `done` or `error`.

    Ends without the last when this process ends: the client resumes with another one.
    """
    turn = answer.turn
    names = {"conversation_id": public_id(turn.conversation_id), "turn_id": public_id(turn.id)}
    del turn
    yield _event("start", cursor, names)
    while True:
        look = answer.wait(cursor, SILENCE_SECONDS)
        if not look.news:
            if look.interrupted:
                return
            yield _PING
            continue
        parts = []
        if look.reset:
            parts.append(_event("reset", Cursor(look.next.attempt), {}))
        if look.reasoning:
            seen = look.next._replace(text=look.next.text - len(look.text))
            parts.append(_event("reasoning", seen, {"text": look.reasoning}))
        if look.text:
            parts.append(_event("delta", look.next, {"text": look.text, "next": str(look.next)}))
        cursor = look.next
        if look.final:
            parts.append(_end(look.state, cursor))
            yield b"".join(parts)
            return
        yield b"".join(parts)


def _end(state: State, cursor: Cursor) -> bytes:
    if (told := detail(state)) is not None:
        return _event("error", cursor, {"code": state.code, "detail": told})
    return _event("done", cursor, finished(state))


def finished(state: State) -> dict[str, Any]:
    """What an answer's end tells, in a stream or as JSON."""
    return {
        "reply": state.text,
        "finish_reason": state.finish_reason,
        "usage": usage(state),
        "status": state.status,
    }


def detail(state: State) -> str | None:
    """The sentence for the user of an answer that failed or was blocked."""
    error = failure(state)
    return None if error is None else sentence(error)


def usage(state: State) -> dict[str, int] | None:
    """Tokens as the OpenAI API names them; None where the model did not tell."""
    if state.prompt_tokens is None or state.completion_tokens is None:
        return None
    return {
        "prompt_tokens": state.prompt_tokens,
        "completion_tokens": state.completion_tokens,
        "total_tokens": state.prompt_tokens + state.completion_tokens,
    }


def public_id(number: int | None) -> str | None:
    """JavaScript cannot hold our ids as numbers."""
    return None if number is None else str(number)


def _event(name: str, cursor: Cursor, data: dict[str, Any]) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), str(cursor).encode(), orjson.dumps(data))
