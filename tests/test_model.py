"""The model's client against a real server on loopback. Most of it runs a second time under gevent."""

import contextlib
import itertools
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

import core.model.completion
import core.model.endpoints
from core.errors import ContextOverflow, ModelError, ModelTimeout, ModelUnavailable
from core.messages import Delta, Usage
from core.model import Cancelled, CogitoModel, Completion, Endpoint, strip_control_tokens
from core.model.exchange import Chunks
from core.model.sse import ThinkSplitter
from tests.fakes import FakeCogito
from tests.scripts import Script, failure

KEY = "sk-do-not-tell"
Build = Callable[..., CogitoModel]


@pytest.fixture
def fake() -> Iterator[FakeCogito]:
    with FakeCogito() as fake:
        yield fake


@pytest.fixture
def build(fake: FakeCogito) -> Iterator[Build]:
    """A model that asks the fake, with deadlines that no test should meet unless it sets them."""
    models: list[CogitoModel] = []

    def build(*urls: str, **settings: Any) -> CogitoModel:
        endpoints = settings.pop("endpoints", None)
        if endpoints is None:
            endpoints = [Endpoint(url, KEY, "cogito") for url in urls or [fake.url]]
        settings = {"first_token_seconds": 5, "idle_seconds": 5, "total_seconds": 10} | settings
        models.append(CogitoModel(endpoints, **settings))
        return models[-1]

    yield build
    for model in models:
        model.close()


@pytest.fixture
def model(build: Build) -> CogitoModel:
    return build()


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.model.completion, "BACKOFF_SECONDS", (0.01, 0.02, 0.03))


def ask(model: CogitoModel, question: str = "hello", **more: Any) -> Completion:
    return model.complete([{"role": "user", "content": question}], **{"max_tokens": 50, **more})


def text_of(completion: Completion) -> str:
    return "".join(delta.text for delta in completion)


def nobody_there() -> str:
    """The URL of a port that refuses connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1/chat/completions"


# What is asked


def test_answer_comes_in_deltas_with_its_finish_reason_and_usage(fake: FakeCogito, model: CogitoModel):
    fake.will_say("Hel", "lo", every=0.05)
    completion = ask(model, "hi", temperature=0.5, top_p=0.9)
    assert [delta.text for delta in completion] == ["Hel", "lo"]
    assert (completion.finish_reason, completion.usage) == ("stop", Usage(10, 2))
    assert (completion.model, completion.endpoint) == ("cogito", fake.url)
    assert fake.requests == [
        {
            "model": "cogito",
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 50,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.5,
            "top_p": 0.9,
        }
    ]
    sent = fake.headers[0]
    assert (sent["Authorization"], sent["Accept-Encoding"]) == (f"Bearer {KEY}", "identity")


def test_nothing_is_sent_before_the_first_look(fake: FakeCogito, model: CogitoModel):
    ask(model)
    assert (fake.connections, fake.calls) == (0, 0)


def test_thinking_is_asked_for_in_the_system_message(fake: FakeCogito, model: CogitoModel):
    text_of(model.complete([{"role": "user", "content": "hi"}], max_tokens=5, thinking=True))
    system = {"role": "system", "content": "Be brief."}
    list(model.complete([system, {"role": "user", "content": "hi"}], max_tokens=5, thinking=True))
    firsts = [body["messages"][0]["content"] for body in fake.requests]
    sentence = "Enable deep thinking subroutine."
    assert firsts == [sentence, f"{sentence}\n\nBe brief."]
    assert system["content"] == "Be brief."


def test_environment_proxies_are_ignored(model: CogitoModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert text_of(ask(model)) == "回答：hello"


def test_a_hundred_at_once_get_their_own_answers(fake: FakeCogito, model: CogitoModel):
    answers: dict[str, str] = {}

    def one(question: str) -> None:
        answers[question] = text_of(ask(model, question))

    questions = [f"第{n}问" for n in range(100)]
    for question in questions:
        fake.when(question, pieces=[f"回答：{question}"], hold_at=-1)
    threads = [threading.Thread(target=one, args=(question,)) for question in questions]
    for thread in threads:
        thread.start()
    fake.wait_for(lambda: fake.active == 100, timeout=30)
    fake.release()
    for thread in threads:
        thread.join()
    assert answers == {question: f"回答：{question}" for question in questions}


# How it is read


def test_what_has_arrived_meanwhile_is_one_delta(fake: FakeCogito, model: CogitoModel):
    fake.will_say("a", *[f"{n} " for n in range(500)], every=0.0001)
    deltas = iter(ask(model))
    first = next(deltas)
    fake.wait_for(lambda: fake.finished == 1)
    rest = list(deltas)
    assert len(rest) == 1
    assert first.text + rest[0].text == "a" + "".join(f"{n} " for n in range(500))


def test_one_connection_serves_many_answers(fake: FakeCogito, model: CogitoModel):
    for question in "abcd":
        assert text_of(ask(model, question)) == f"回答：{question}"
    assert fake.connections == 1


def test_connection_is_not_used_again_after_a_cut(fake: FakeCogito, model: CogitoModel):
    fake.will_say("a", "b", "c", hold_at=1)
    for _ in ask(model):
        break
    fake.wait_for(lambda: fake.aborted == 1)
    assert text_of(ask(model)) == "回答：hello"
    assert fake.connections == 2


def test_connection_that_died_while_idle_is_replaced(fake: FakeCogito, model: CogitoModel):
    fake.will_say("a", keep_alive=False)
    assert text_of(ask(model)) == "a"
    fake.will_say("b")
    assert text_of(ask(model)) == "b"
    fake.will(cut_at=-1)  # this one dies only when it is used
    assert text_of(ask(model)) == "回答：hello"
    assert model.endpoints_state()[0]["failures"] == 0


@pytest.mark.parametrize(
    "wire",
    [
        {},
        {"prefix": "data:"},
        {"newline": "\r\n"},
        {"together": True},
        {"split": 1},
        {"split": 7},
        {"together": True, "split": 100},
        {"usage": False, "done": False},
        {"headers": {"Connection": "close"}, "keep_alive": False},
    ],
    ids=str,
)
def test_stream_is_understood_however_it_is_written(fake: FakeCogito, model: CogitoModel, wire: dict[str, Any]):
    fake.will_say("你好，", "世界🌍", "\n\n", "ok", **wire)
    completion = ask(model)
    assert text_of(completion) == "你好，世界🌍\n\nok"
    assert completion.usage == (Usage(10, 4) if wire.get("usage", True) else None)


def test_plain_json_is_understood(fake: FakeCogito, model: CogitoModel):
    fake.will_say("<think>hm", "</think>\n\nyes", plain=True)
    completion = ask(model)
    assert list(completion) == [Delta("yes", "hm")]
    assert (completion.finish_reason, completion.usage) == ("stop", Usage(10, 2))
    assert text_of(ask(model)) == "回答：hello"
    assert fake.connections == 1


def test_body_without_length_or_chunks_ends_with_the_connection(fake: FakeCogito, model: CogitoModel):
    body = 'data: {"choices":[{"delta":{"content":"你好"}}]}\n\ndata: [DONE]\n\n'
    fake.will(body=body, content_type="text/event-stream")
    assert text_of(ask(model)) == "你好"


def test_reasoning_fields_are_reasoning(fake: FakeCogito, model: CogitoModel):
    fake.will_say("\n\n", "yes", reasoning=["a", "b"], together=True)
    assert list(ask(model)) == [Delta("yes", "ab")]
    fake.will(body='{"choices":[{"message":{"content":"yes","reasoning":"ab"}}]}')
    assert list(ask(model)) == [Delta("yes", "ab")]


def test_empty_answer_is_an_answer(fake: FakeCogito, model: CogitoModel):
    completion = ask(model, "[empty]")
    assert list(completion) == []
    assert (completion.finish_reason, fake.calls) == ("stop", 1)


def test_surrogates_and_nul_never_leave_the_model(fake: FakeCogito, model: CogitoModel):
    fake.will_say("a\ud800b", "\0c", "🌍")
    assert text_of(ask(model)) == "a\ufffdbc🌍"


@pytest.mark.parametrize(
    ("said", "reasoning", "text"),
    [
        ("<think>ab</think>\n\ncd", "ab", "cd"),
        ("\n <think>ab</think>cd", "ab", "cd"),
        ("<think></think>cd", "", "cd"),
        ("<think>a</thin</think>\r\nc", "a</thin", "c"),
        ("<think>never closed </thi", "never closed </thi", ""),
        ("</think>\ncd", "", "cd"),
        ("cd <think>e</think>", "", "cd <think>e</think>"),
        ("<thinker>", "", "<thinker>"),
        ("  <th", "", "<th"),
        ("  cd\n", "", "cd\n"),
        ("", "", ""),
    ],
)
def test_think_tags_are_found_wherever_they_are_cut(said: str, reasoning: str, text: str):
    for size in range(1, len(said) + 1):
        splitter = ThinkSplitter()
        parts = [splitter.feed(said[at : at + size]) for at in range(0, len(said), size)]
        parts.append(splitter.finish())
        assert ("".join(r for r, _ in parts), "".join(t for _, t in parts)) == (reasoning, text)


def test_chunks_are_joined_wherever_they_are_cut():
    wire = b"5;ext=1\r\nhello\r\nA\r\n0123456789\r\n1\r\n\n\r\n0\r\nTrailer: x\r\n\r\n"
    for size in range(1, len(wire) + 1):
        chunks = Chunks()
        parts = [chunks.feed(wire[at : at + size]) for at in range(0, len(wire), size)]
        assert (b"".join(parts), chunks.ended, chunks.rest) == (b"hello0123456789\n", True, b"")


def test_control_tokens_are_taken_out_of_what_users_write():
    assert strip_control_tokens("a<|eot_id|>b") == "ab"
    assert strip_control_tokens("<|eot<|x|>_id|>") == ""
    assert strip_control_tokens("<<|x|>|eot_id|>") == ""
    assert strip_control_tokens("f <| x |> g, a|b <c>") == "f <| x |> g, a|b <c>"
    deep = "<|a" * 20_000 + "|>" * 20_000
    assert "<|" not in strip_control_tokens(deep)


# Trying again


@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize(
    "trouble",
    [
        failure(500, "server_error", "x"),
        failure(503, "unavailable_error", "Loading model"),
        failure(408, "timeout", "x"),
        Script(cut_at=-1),
        Script(cut_at=0, pieces=["a"]),
        Script(body="<html>hello</html>", content_type="text/html"),
        Script(body="{not json"),
        Script(body='{"choices":[]}'),
        Script(body='{"choices":[7]}'),
        Script(body="data: nonsense\n\n", content_type="text/event-stream"),
        Script(error={"message": "internal", "code": 500}),
    ],
    ids=lambda script: str(script.body or script.error or script.cut_at)[:20],
)
def test_trouble_before_the_first_token_is_tried_again(fake: FakeCogito, model: CogitoModel, trouble: Script):
    fake.will(trouble)
    assert text_of(ask(model)) == "回答：hello"
    assert fake.calls == 2


@pytest.mark.usefixtures("no_backoff")
def test_four_tries_are_all(fake: FakeCogito, model: CogitoModel):
    fake.will_be_loading(times=9)
    with pytest.raises(ModelUnavailable, match="503"):
        text_of(ask(model))
    assert fake.calls == 4
    assert model.endpoints_state()[0]["failures"] == 4
    fake.will(body="<html>", content_type="text/html")
    with pytest.raises(ModelUnavailable):
        text_of(ask(model))


@pytest.mark.usefixtures("no_backoff")
def test_nobody_there_is_unavailable(build: Build):
    with pytest.raises(ModelUnavailable):
        text_of(ask(build(nobody_there())))
    with pytest.raises(ModelUnavailable):
        text_of(ask(build(endpoints=lambda: [])))


def test_retry_after_is_honoured(fake: FakeCogito, model: CogitoModel):
    fake.will_fail(429, retry_after=1)
    begin = time.monotonic()
    assert text_of(ask(model)) == "回答：hello"
    assert 1 <= time.monotonic() - begin < 2.5


def test_retry_after_beyond_the_deadline_is_not_waited_for(fake: FakeCogito, model: CogitoModel):
    for late in (60, format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)):
        fake.will_fail(429, retry_after=late)
        begin = time.monotonic()
        with pytest.raises(ModelUnavailable, match="429"):
            text_of(ask(model))
        assert time.monotonic() - begin < 1.5
    fake.will_fail(429, retry_after="soon")
    assert text_of(ask(model)) == "回答：hello"


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 422])
def test_refusals_are_not_tried_again(fake: FakeCogito, model: CogitoModel, status: int):
    fake.will(failure(status, "invalid", f"key {KEY}"), headers={"Location": "/elsewhere"})
    with pytest.raises(ModelError) as caught:
        text_of(ask(model))
    assert type(caught.value).__mro__[1] is ModelError
    assert KEY not in str(caught.value)
    assert ("key" in str(caught.value)) == (status in (401, 403))
    assert fake.calls == 1


def test_key_that_fits_no_header_is_not_told(fake: FakeCogito, build: Build):
    for key in ("line\nbreak", "密钥", " blank"):
        with pytest.raises(ModelError) as caught:
            text_of(ask(build(endpoints=[Endpoint(fake.url, key, "cogito")])))
        assert key.strip() not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("status", "error", "prompt_tokens", "context_tokens"),
    [
        (400, {"type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192}, 9000, 8192),
        (
            400,
            {
                "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 "
                "tokens (4500 in the messages, 500 in the completion).",
                "type": "BadRequestError",
            },
            5000,
            4096,
        ),
        (400, {"message": "too long", "code": "context_length_exceeded"}, 0, 0),
    ],
)
def test_context_overflow_is_told_at_once(
    fake: FakeCogito,
    model: CogitoModel,
    status: int,
    error: dict[str, Any],
    prompt_tokens: int,
    context_tokens: int,
):
    fake.will(failure(status, **{"kind": "", "message": "", **error}))
    with pytest.raises(ContextOverflow) as caught:
        text_of(ask(model))
    assert (caught.value.prompt_tokens, caught.value.context_tokens) == (prompt_tokens, context_tokens)
    assert fake.calls == 1
    assert model.endpoints_state()[0]["failures"] == 0


# Several endpoints


def test_endpoints_take_turns(fake: FakeCogito, build: Build):
    with FakeCogito() as other:
        model = build(fake.url, other.url)
        for _ in range(6):
            text_of(ask(model))
        assert (fake.calls, other.calls) == (3, 3)


def test_failing_endpoint_is_left_at_once_and_then_rests(
    fake: FakeCogito, build: Build, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(core.model.completion, "BACKOFF_SECONDS", (60,))
    with FakeCogito() as other:
        other.default = lambda body: failure(503, "unavailable_error", "Loading model")
        model = build(fake.url, other.url)
        for _ in range(6):
            assert text_of(ask(model)) == "回答：hello"
        assert (fake.calls, other.calls) == (6, 1)
        state = {entry["url"]: entry for entry in model.endpoints_state()}
        assert 0 < state[other.url]["cooling_seconds"] <= 1
        assert (state[other.url]["failures"], state[fake.url]["failures"]) == (1, 0)


def test_only_one_call_finds_out_whether_an_endpoint_works_again(
    fake: FakeCogito, build: Build, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(core.model.endpoints, "FIRST_REST", 0.05)
    with FakeCogito() as other:
        model = build(fake.url, other.url)
        other.will_be_loading()
        other.will_say("well again", hold_at=-1)
        while not other.calls:
            text_of(ask(model))
        time.sleep(0.05)
        readers = [Reader(ask(model)) for _ in range(10)]
        other.wait_for(lambda: other.active == 1)
        other.release()
        for reader in readers:
            reader.join(2)
        assert sorted("".join(reader.said) for reader in readers) == ["well again"] + ["回答：hello"] * 9
        assert [state["failures"] for state in model.endpoints_state()] == [0, 0]


@pytest.mark.usefixtures("no_backoff")
def test_resting_endpoints_are_asked_when_all_rest(fake: FakeCogito, build: Build):
    model = build(fake.url, nobody_there())
    fake.will_be_loading()
    assert text_of(ask(model)) == "回答：hello"
    assert fake.calls == 2


@pytest.mark.usefixtures("no_backoff")
def test_address_is_asked_for_before_each_try(fake: FakeCogito, build: Build):
    addresses = [nobody_there(), fake.url]
    model = build(endpoints=lambda: [Endpoint(addresses.pop(0) if len(addresses) > 1 else fake.url, "", "c")])
    assert text_of(ask(model)) == "回答：hello"


def test_ping_tells_what_is_wrong(fake: FakeCogito, build: Build):
    assert build().ping() is None
    assert build(nobody_there(), fake.url).ping() is None
    assert "reached" in (build(nobody_there()).ping() or "")
    assert build(endpoints=[]).ping()
    fake.healthy = False
    assert "503" in (build().ping() or "")


# Deadlines


@pytest.mark.parametrize(
    "quiet", [Script(slow=9), Script(prefill=9), Script(pieces=["", "a"], every=9)], ids=["slow", "prefill", "empty"]
)
def test_deadline_of_the_first_token(fake: FakeCogito, build: Build, quiet: Script):
    fake.will(quiet)
    begin = time.monotonic()
    with pytest.raises(ModelTimeout):
        text_of(ask(build(first_token_seconds=0.3)))
    assert 0.3 <= time.monotonic() - begin < 1.5
    fake.wait_for(lambda: fake.aborted == 1, 1)
    assert fake.calls == 1


def test_deadline_between_tokens(fake: FakeCogito, build: Build):
    fake.will_say("a", "b", "c", every=0.1, pause_at=2, pause=9)
    begin = time.monotonic()
    said = []
    with pytest.raises(ModelTimeout):
        for delta in ask(build(idle_seconds=0.3)):
            said.append(delta.text)
    assert said == ["a", "b"]
    assert 0.4 <= time.monotonic() - begin < 1.5
    fake.wait_for(lambda: fake.aborted == 1, 1)


def test_deadline_of_the_whole_answer(fake: FakeCogito, build: Build):
    begin = time.monotonic()
    with pytest.raises(ModelTimeout):
        text_of(ask(build(total_seconds=0.4), "[tokens:1000@0.02]"))
    assert 0.4 <= time.monotonic() - begin < 1.5
    fake.wait_for(lambda: fake.aborted == 1, 1)


def test_time_the_reader_takes_is_not_the_models_silence(fake: FakeCogito, build: Build):
    fake.will_say("a", "b", "c", every=0.1)
    said = []
    for delta in ask(build(idle_seconds=0.3)):
        said.append(delta.text)
        time.sleep(0.5)
    assert "".join(said) == "abc"
    assert len(said) > 1


def test_deadline_of_connecting(build: Build):
    with _full_listener() as url:
        begin = time.monotonic()
        with pytest.raises(ModelUnavailable):
            text_of(ask(build(url, connect_seconds=0.2, tries=1)))
        assert time.monotonic() - begin < 1.5


@contextlib.contextmanager
def _full_listener() -> Iterator[str]:
    """A URL where connecting hangs: the queue of a listener that accepts nobody is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"


@pytest.mark.parametrize("endless", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_headers_that_drip_do_not_outlast_the_deadline(build: Build, endless: bytes):
    with _dripping(endless) as url:
        begin = time.monotonic()
        with pytest.raises(ModelTimeout):
            text_of(ask(build(url, first_token_seconds=0.6)))
        assert 0.5 < time.monotonic() - begin < 1.5


@contextlib.contextmanager
def _dripping(beginning: bytes) -> Iterator[str]:
    """A URL whose answer begins like this, again and again, byte by byte."""
    left = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            for byte in itertools.cycle(beginning):
                if left.wait(0.02):
                    return
                connection.sendall(bytes([byte]))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
        left.set()
        thread.join()


# Broken answers


@pytest.mark.parametrize(
    "broken",
    [
        {"cut_at": 2},
        {"done": False, "finish_reason": None, "usage": False},
        {"error": {"message": "slot unavailable", "code": 500}},
    ],
    ids=["cut", "ended", "error"],
)
def test_broken_answer_gives_what_came_and_an_error(fake: FakeCogito, model: CogitoModel, broken: dict[str, Any]):
    fake.will_say("a", "b", every=0.05, **broken)
    said = []
    with pytest.raises(ModelError) as caught:
        for delta in ask(model):
            said.append(delta.text)
    assert type(caught.value) is ModelError
    assert said == ["a", "b"]
    assert fake.calls == 1


def test_finished_answer_needs_no_proper_end(fake: FakeCogito, model: CogitoModel):
    fake.will_say("a", done=False)
    assert text_of(ask(model)) == "a"
    fake.will_say("b", finish_reason=None)
    assert text_of(ask(model)) == "b"
    body = 'data: {"choices":[{"delta":{"content":"c"},"finish_reason":"stop"}]}\n'
    fake.will(body=body, content_type="text/event-stream")
    assert text_of(ask(model)) == "c"
    assert fake.calls == 3


# Cancelling


class Reader(threading.Thread):
    """Reads a completion in a thread of its own."""

    def __init__(self, completion: Completion) -> None:
        super().__init__(daemon=True)
        self.completion = completion
        self.said: list[str] = []
        self.outcome: BaseException | None = None
        self.first = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            for delta in self.completion:
                self.said.append(delta.text)
                self.first.set()
        except (Cancelled, ModelError) as error:
            self.outcome = error

    def cancelled_within(self, seconds: float) -> bool:
        self.completion.cancel()
        self.join(seconds)
        return not self.is_alive() and isinstance(self.outcome, Cancelled)


@pytest.mark.parametrize("held_at", [-1, 0, 1], ids=["headers", "first token", "mid-stream"])
@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
@pytest.mark.parametrize("wire", [{}, {"headers": {"Connection": "close"}}], ids=["keep", "close"])
def test_cancel_while_reading(fake: FakeCogito, model: CogitoModel, held_at: int, reused: bool, wire: dict[str, Any]):
    if reused:
        text_of(ask(model))
    fake.will_say("a", "b", hold_at=held_at, **wire)
    reader = Reader(ask(model))
    fake.wait_for(lambda: fake.calls == 1 + reused)
    if held_at == 1:
        assert reader.first.wait(2)
    assert reader.cancelled_within(1)
    fake.wait_for(lambda: fake.aborted == 1, 1)
    assert text_of(ask(model)) == "回答：hello"
    assert model.endpoints_state()[0]["failures"] == 0


def test_cancel_before_the_first_look_sends_nothing(fake: FakeCogito, model: CogitoModel):
    completion = ask(model)
    completion.cancel()
    with pytest.raises(Cancelled):
        text_of(completion)
    assert fake.connections == 0


def test_cancel_while_the_reader_is_elsewhere_leaves_the_model_at_once(fake: FakeCogito, model: CogitoModel):
    fake.will_say("a", "b", hold_at=1)
    completion = ask(model)
    deltas = iter(completion)
    assert next(deltas).text == "a"
    completion.cancel()
    fake.wait_for(lambda: fake.aborted == 1, 1)
    with pytest.raises(Cancelled):
        next(deltas)


def test_cancel_while_waiting_to_try_again(fake: FakeCogito, model: CogitoModel):
    fake.will_fail(429, retry_after=4)
    reader = Reader(ask(model))
    fake.wait_for(lambda: fake.finished == 1)
    assert reader.cancelled_within(1)
    assert fake.calls == 1


def test_cancel_while_connecting_takes_effect_when_that_ends(build: Build):
    with _full_listener() as url:
        reader = Reader(ask(build(url, connect_seconds=0.5)))
        assert reader.cancelled_within(1.5)


def test_cancel_after_the_end_does_no_harm(fake: FakeCogito, model: CogitoModel):
    completion = ask(model)
    assert text_of(completion) == "回答：hello"
    completion.cancel()
    assert text_of(ask(model)) == "回答：hello"
    assert fake.connections == 1


def test_leaving_the_iteration_leaves_the_model(fake: FakeCogito, model: CogitoModel):
    for _ in ask(model, "[hold:1]"):
        break
    fake.wait_for(lambda: fake.aborted == 1, 1)


# TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=fake"
    extensions = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *extensions], check=True, capture_output=True)
    with path.open("a") as both:
        both.write(Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[FakeCogito]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FakeCogito(tls=context) as fake:
        yield fake


def test_tls_streams_gathers_and_keeps_its_connection(secure: FakeCogito, build: Build, certificate: Path):
    model = build(secure.url, verify=str(certificate))
    assert text_of(ask(model)) == "回答：hello"
    secure.will_say(*[f"{n} " for n in range(200)])
    deltas = iter(ask(model))
    first = next(deltas)
    secure.wait_for(lambda: secure.finished == 2)
    rest = list(deltas)
    assert len(rest) <= 1
    assert "".join(delta.text for delta in (first, *rest)) == "".join(f"{n} " for n in range(200))
    assert secure.connections == 1


@pytest.mark.parametrize("held_at", [-1, 1])
@pytest.mark.parametrize("wire", [{}, {"headers": {"Connection": "close"}}], ids=["keep", "close"])
def test_tls_cancel(secure: FakeCogito, build: Build, certificate: Path, held_at: int, wire: dict[str, Any]):
    model = build(secure.url, verify=str(certificate))
    secure.will_say("a", "b", hold_at=held_at, **wire)
    reader = Reader(ask(model))
    secure.wait_for(lambda: secure.active == 1)
    if held_at == 1:
        assert reader.first.wait(2)
    assert reader.cancelled_within(1)
    secure.wait_for(lambda: secure.aborted == 1, 1)


def test_tls_deadline(secure: FakeCogito, build: Build, certificate: Path):
    secure.will_say("a", "b", hold_at=1)
    with pytest.raises(ModelTimeout):
        text_of(ask(build(secure.url, verify=str(certificate), idle_seconds=0.2)))


@pytest.mark.usefixtures("no_backoff")
def test_tls_with_an_unknown_certificate_is_unavailable(secure: FakeCogito, build: Build):
    with pytest.raises(ModelUnavailable):
        text_of(ask(build(secure.url)))
    assert secure.calls == 0


# Under gevent


@pytest.mark.skipif("UNDER_GEVENT" in os.environ, reason="this is it")
def test_all_this_works_under_gevent():
    chosen = "cancel or deadline or tls or meanwhile or hundred or understood or many or leaving"
    command = [
        "-m",
        "gevent.monkey",
        "--module",
        "pytest",
        __file__,
        "-q",
        "-x",
        "--noconftest",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [sys.executable, *command, "-k", f"({chosen}) and not under_gevent"],
        env=os.environ | {"UNDER_GEVENT": "1"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
