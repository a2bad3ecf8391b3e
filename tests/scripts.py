"""What FakeCogito can be told to answer: scripts as plain values, and the bytes of a stream they become."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

MODEL = "cogito-v1-preview-llama-3b"


@dataclass(frozen=True)
class Script:
    """How one request is answered. Times in seconds; `*_at` counts deltas, reasoning included."""

    pieces: Sequence[str] = ()
    reasoning: Sequence[str] = ()  # sent as `reasoning_content`, before the pieces
    prefill: float = 0  # silence before the headers
    slow: float = 0  # silence after the headers and the role chunk, before the first delta
    every: float = 0  # seconds from delta to delta
    pause_at: int | None = None  # after so many deltas, silence for `pause` seconds
    pause: float = 0
    hold_at: int | None = None  # after so many deltas (-1: before the headers), silence until `release()`
    cut_at: int | None = None  # after so many deltas (-1: before the headers), the connection is dropped
    together: bool = False  # the whole stream in one write
    split: int = 0  # the stream in writes (and HTTP chunks) of so many bytes
    finish_reason: str | None = "stop"
    usage: bool = True
    done: bool = True  # `data: [DONE]`
    error: dict[str, Any] | None = None  # an error object as last event of the stream
    prefix: str = "data: "
    newline: str = "\n"
    plain: bool = False  # one JSON object instead of a stream
    keep_alive: bool = True
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | bytes | None = None  # sent as it is, as `content_type`
    content_type: str = "application/json"


def failure(status: int, kind: str, message: str, **more: Any) -> Script:
    """An error the way llama.cpp words it."""
    error = {"code": status, "message": message, "type": kind, **more}
    return Script(status=status, body=json.dumps({"error": error}))


def overflow(prompt_tokens: int = 9000, context_tokens: int = 8192) -> Script:
    text = f"request ({prompt_tokens} tokens) exceeds the available context size ({context_tokens} tokens)"
    more = {"n_prompt_tokens": prompt_tokens, "n_ctx": context_tokens}
    return failure(400, "exceed_context_size_error", text, **more)


LOADING = failure(503, "unavailable_error", "Loading model")


def question_of(body: dict[str, Any]) -> str:
    asked = [m.get("content") for m in body.get("messages", ()) if m.get("role") == "user"]
    return str(asked[-1]) if asked else ""


def echo(body: dict[str, Any]) -> Script:
    return Script(pieces=in_pieces(f"回答：{question_of(body)}"))


def in_pieces(text: str, size: int = 3) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def scripted_by(question: str) -> Script | None:
    """What the question itself asks for; `[name:value@number]`, several add up."""
    found = re.findall(r"\[([a-z]+)(?::([^\]@]*))?(?:@([\d.]+))?\]", question)
    script = Script(pieces=in_pieces(f"回答：{question}"))
    known = False
    for name, value, number in found:
        match name:
            case "tokens":
                pieces = [f"{n} " for n in range(int(value))]
                script = replace(script, pieces=pieces, every=float(number or 0))
            case "slow" | "prefill" | "every":
                timing: dict[str, Any] = {name: float(value)}
                script = replace(script, **timing)
            case "pause":
                script = replace(script, pause_at=int(value), pause=float(number))
            case "hold" | "cut":
                place: dict[str, Any] = {f"{name}_at": int(value)}
                script = replace(script, **place)
            case "status":
                script = failure(int(value), "server_error", "scripted failure")
            case "say":
                script = replace(script, pieces=in_pieces(value))
            case "think":
                script = replace(script, pieces=["<think>", *in_pieces(value), "</think>", *script.pieces])
            case "empty":
                script = replace(script, pieces=())
            case "overflow":
                script = overflow()
            case _:
                continue
        known = True
    return script if known else None


def as_json(value: Any) -> str:
    """Readable UTF-8, as servers write it; lone surrogates can only travel escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if re.search("[\ud800-\udfff]", text) else text


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"finish_reason": finish_reason, "index": 0, "delta": delta}
    return {"choices": [choice], "created": 1762000000, "id": "chatcmpl-fake", "model": MODEL}


def _usage(script: Script) -> dict[str, int]:
    tokens = len(script.pieces) + len(script.reasoning)
    return {"completion_tokens": tokens, "prompt_tokens": 10, "total_tokens": 10 + tokens}


def events(script: Script) -> Iterator[tuple[str, int | None]]:
    """The stream's events; with each delta its number, and a last number after the last delta."""

    def event(value: dict[str, Any] | str) -> str:
        data = value if isinstance(value, str) else as_json(value)
        return f"{script.prefix}{data}{script.newline * 2}"

    yield f": keep-alive{script.newline * 2}", None
    yield event(_chunk({"role": "assistant", "content": None})), None
    deltas = [{"reasoning_content": text} for text in script.reasoning]
    deltas += [{"content": text} for text in script.pieces]
    for number, delta in enumerate(deltas):
        yield event(_chunk(delta)), number
    yield f": end{script.newline * 2}", len(deltas)
    if script.error:
        yield event({"error": script.error}), None
        return
    if script.finish_reason:
        yield event(_chunk({}, script.finish_reason)), None
    if script.usage:
        yield event({**_chunk({}), "choices": [], "usage": _usage(script)}), None
    if script.done:
        yield event("[DONE]"), None


def whole(script: Script) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(script.pieces)}
    if script.reasoning:
        message["reasoning_content"] = "".join(script.reasoning)
    choice = {"index": 0, "finish_reason": script.finish_reason, "message": message}
    return {"choices": [choice], "model": MODEL} | ({"usage": _usage(script)} if script.usage else {})
