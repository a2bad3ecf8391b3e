"""What a model sends, as text: server-sent events or one JSON object in, deltas out."""

import json
import re
from typing import Any, Literal

import orjson

from core.errors import ContextOverflow, ModelError
from core.messages import Delta, Usage

THINK, END_THINK = "<think>", "</think>"
MOST = 2**31 - 1  # of whatever is counted
LONGEST_LINE = 4 * 1024 * 1024

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROL_TOKEN = re.compile(r"<\|[^\s<>|]*\|>")


def strip_control_tokens(text: str) -> str:
    """Take `<|…|>` out of what users write: the model would obey `<|eot_id|>` instead of reading it."""
    for _ in range(8):
        if "<|" not in text or "|>" not in text:
            return text
        stripped = _CONTROL_TOKEN.sub("", text)
        if stripped == text:
            return text
        text = stripped
    return text.replace("|", "")  # nobody nests them this deep by accident


class ThinkSplitter:
    """Tells `<think>…</think>` at the beginning of an answer from the answer, wherever the pieces are cut."""

    def __init__(self) -> None:
        self._place: Literal["start", "thinking", "after", "answer"] = "start"
        self._held = ""  # what may still turn out to be (part of) a tag

    def feed(self, text: str) -> tuple[str, str]:
        """The reasoning and the text that are certain now."""
        if self._place == "start":
            return self._start(self._held + text)
        if self._place == "thinking":
            return self._thinking(self._held + text)
        return "", self._answer(text)

    def reasoning_came_apart(self) -> None:
        """The server splits by itself; newlines between its reasoning and its answer belong to neither."""
        if self._place == "start" and not self._held:
            self._place = "after"

    def finish(self) -> tuple[str, str]:
        """What was held back, when nothing follows any more."""
        held, self._held = self._held, ""
        return (held, "") if self._place == "thinking" else ("", held)

    def _start(self, text: str) -> tuple[str, str]:
        start = text.lstrip()
        if any(tag != start and tag.startswith(start) for tag in (THINK, END_THINK)):
            self._held = start  # without the space before it, of which there may be no end
            return "", ""
        self._held = ""
        if start.startswith(THINK):
            self._place = "thinking"
            return self._thinking(start[len(THINK) :])
        if start.startswith(END_THINK):  # <think> was part of the prompt, and nothing was thought
            self._place = "after"
            return "", self._answer(start[len(END_THINK) :])
        self._place = "answer"
        return "", start

    def _thinking(self, text: str) -> tuple[str, str]:
        reasoning, tag, answer = text.partition(END_THINK)
        if tag:
            self._held = ""
            self._place = "after"
            return reasoning, self._answer(answer)
        certain = max(0, len(text) - len(END_THINK) + 1)
        while not END_THINK.startswith(text[certain:]):
            certain += 1
        self._held = text[certain:]
        return text[:certain], ""

    def _answer(self, text: str) -> str:
        if self._place == "after" and (text := text.lstrip("\r\n")):
            self._place = "answer"
        return text


class AnswerParser:
    """Bytes of an answer in, in any portions; one `Delta` per portion out."""

    def __init__(self) -> None:
        self.pieces = 0  # of text or reasoning that the model has sent
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.done = False  # [DONE], or the object of an answer that is no stream
        self.error: ModelError | None = None  # what ended the stream, after the deltas before it
        self._line = b""
        self._splitter = ThinkSplitter()

    @property
    def finished(self) -> bool:
        """The answer is complete; what may follow are its usage and the end of the connection."""
        return self.done or self.finish_reason is not None

    def feed(self, data: bytes) -> Delta | None:
        """What is new in these bytes of an event stream."""
        lines = (self._line + data).split(b"\n")
        self._line = lines.pop()
        if len(self._line) > LONGEST_LINE:
            raise ModelError("the model sent a line without end")
        text: list[str] = []
        reasoning: list[str] = []
        try:
            for line in lines:
                if not line.startswith(b"data:") or self.done:
                    continue
                payload = line[5:].strip()
                if payload == b"[DONE]":
                    self.done = True
                elif payload:
                    self._event(_parsed(payload), "delta", text, reasoning)
        except ModelError as error:
            self.error = error
        return self._delta(text, reasoning)

    def whole(self, data: bytes) -> Delta | None:
        """The answer in one JSON object."""
        text: list[str] = []
        reasoning: list[str] = []
        answer = _parsed(data)
        self._event(answer, "message", text, reasoning)
        if not answer.get("choices"):
            raise ModelError("the model sent JSON without an answer")
        self.done = True
        return self._delta(text, reasoning)

    def finish(self) -> Delta | None:
        """What was held back, after the last byte."""
        reasoning, text = self._splitter.finish()
        return Delta(text, reasoning) if text or reasoning else None

    def _event(self, event: dict[str, Any], part: str, text: list[str], reasoning: list[str]) -> None:
        if event.get("error"):
            raise error_of_model(event["error"])
        if usage := event.get("usage"):
            self.usage = _usage(usage) or self.usage
        if self.finish_reason is not None:
            return  # whatever it still says, the answer is complete
        try:
            choice: Any = (event.get("choices") or ({},))[0]
            reason = choice.get("finish_reason")
            self.finish_reason = str(reason) if reason else self.finish_reason
            message = choice.get(part) or {}
            thought = message.get("reasoning_content") or message.get("reasoning") or ""
            content = message.get("content") or ""
        except (LookupError, AttributeError, TypeError) as exc:
            raise ModelError("the model sent JSON of another shape") from exc
        if not isinstance(thought, str) or not isinstance(content, str):
            raise ModelError("the model sent something that is not text")
        if thought:
            self.pieces += 1
            self._splitter.reasoning_came_apart()
            reasoning.append(thought)
        if content:
            self.pieces += 1
            thought, said = self._splitter.feed(content)
            reasoning.append(thought)
            text.append(said)

    def _delta(self, text: list[str], reasoning: list[str]) -> Delta | None:
        delta = Delta("".join(text).replace("\0", ""), "".join(reasoning).replace("\0", ""))
        return delta if delta.text or delta.reasoning else None


def error_of_model(error: Any, status: int = 0) -> ModelError:
    """The `error` object of an answer, as an error of ours that quotes nothing but figures."""
    fields = error if isinstance(error, dict) else {"message": error}
    message = str(fields.get("message", ""))
    kind = f"{fields.get('type')} {fields.get('code')}"
    limit = re.search(r"maximum context length (?:is|of) (\d+)", message)
    if limit or "exceed_context_size_error" in kind or "context_length_exceeded" in kind:
        asked = re.search(r"(\d+) (?:input |prompt )?tokens (?:from|in the) (?:the )?(?:input )?messages", message)
        asked = asked or re.search(r"(?:requested|resulted in|contains(?: at least)?) (\d+)", message)
        prompt_tokens = fields.get("n_prompt_tokens") or (asked and asked[1]) or 0
        context_tokens = fields.get("n_ctx") or (limit and limit[1]) or 0
        return ContextOverflow("the prompt is too long", _count(prompt_tokens), _count(context_tokens))
    return ModelError(f"the model reports an error ({status or _count(fields.get('code')) or 'no code'})")


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:  # also for lone surrogates and broken UTF-8, with which we are lenient
        try:
            value = json.loads(payload.decode(errors="replace"), object_hook=_without_surrogates)
        except (ValueError, RecursionError) as exc:
            raise ModelError("the model sent something that is not JSON") from exc
    if not isinstance(value, dict):
        raise ModelError("the model sent JSON that is no object")
    return value


def _without_surrogates(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: _SURROGATES.sub("\ufffd", v) if isinstance(v, str) else v for key, v in fields.items()}


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict) or "completion_tokens" not in usage:
        return None
    return Usage(_count(usage.get("prompt_tokens")), _count(usage["completion_tokens"]))


def _count(value: Any) -> int:
    number = (
        int(value)
        if isinstance(value, int) or (isinstance(value, str) and len(value) < 12 and value.isdecimal())
        else 0
    )
    return min(max(number, 0), MOST)
