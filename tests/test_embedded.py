"""The local engine, in real child processes: the demo model, and a tiny one of random weights."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from core import embedded
from core.embedded import DEMO_MODEL, EmbeddedEngine, explain_exit, find_model, read_rendezvous
from demo.gguf_writer import write_random_model

ROOT = Path(__file__).parent.parent
SYSTEM = "你是这个微信账号的 AI 助手。请用简洁、友好的中文回答；不确定的事情就说不知道，不要编造。"
PATIENCE = 20
CHILD = """
import json, sys
from pathlib import Path
from core.embedded import serve_engine
sys.exit(serve_engine(Path(sys.argv[1]), Path(sys.argv[2]), watch_stdin=True, **json.loads(sys.argv[3])))
"""


def start(
    path: Path,
    rendezvous: Path,
    *,
    pythonpath: str = "",
    before: Callable[[], None] | None = None,
    **options: Any,
) -> subprocess.Popen[str]:
    options = {"context_tokens": 16_384} | options
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(rendezvous), json.dumps(options)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": pythonpath},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


@contextmanager
def running(path: Path, rendezvous: Path, **options: Any) -> Iterator[tuple[subprocess.Popen[str], EmbeddedEngine]]:
    with start(path, rendezvous, **options) as child:
        try:
            yield child, wait_for_engine(child, rendezvous)
        finally:
            child.kill()


def wait_for_engine(child: subprocess.Popen[str], rendezvous: Path) -> EmbeddedEngine:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        engine = read_rendezvous(rendezvous)
        if engine is not None and engine.pid == child.pid:
            return engine
        assert child.poll() is None, child.communicate()[1]
        time.sleep(0.01)
    raise AssertionError("the engine never wrote its rendezvous file")


def ended(child: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and what it said on stderr."""
    _, said = child.communicate(timeout=PATIENCE)
    return child.returncode, said


def post(engine: EmbeddedEngine, *messages: str, **options: Any) -> requests.Response:
    """Ask with `messages` by turns from the user and the assistant, after the default system prompt."""
    turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(messages)]
    body = {"messages": [{"role": "system", "content": SYSTEM}, *turns], **options}
    headers = {"Authorization": f"Bearer {engine.key}"}
    return requests.post(engine.url, json=body, headers=headers, timeout=PATIENCE, stream=True)


def ask(engine: EmbeddedEngine, *messages: str, **options: Any) -> str:
    with post(engine, *messages, **options) as response:
        return str(response.json()["choices"][0]["message"]["content"])


def events(response: requests.Response) -> Iterator[str]:
    return (line[6:].decode() for line in response.iter_lines() if line.startswith(b"data: "))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    with running(DEMO_MODEL, tmp_path_factory.mktemp("demo") / "model.json") as (_, engine):
        yield engine


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny-random.gguf"
    write_random_model(path)
    return path


@pytest.fixture
def rendezvous(tmp_path: Path) -> Path:
    return tmp_path / "data" / "model.json"


# Which model


def test_explicit_model_wins(tmp_path: Path) -> None:
    model = tmp_path / "mine.gguf"
    model.touch()
    assert find_model(model, tmp_path) == model


def test_missing_explicit_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"MODEL_PATH.*gone\.gguf"):
        find_model(tmp_path / "gone.gguf", tmp_path)


def test_newest_downloaded_model_is_found(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    names = (
        "old.gguf",
        "new-00001-of-00002.gguf",
        "new-00002-of-00002.gguf",
        "mmproj-new.gguf",
        "x.gguf.part",
    )
    for age, name in enumerate(names):
        path = tmp_path / "models" / name
        path.touch()
        os.utime(path, (age, age))
    assert find_model(None, tmp_path).name == "new-00001-of-00002.gguf"


def test_without_any_download_the_demo_model_is_used(tmp_path: Path) -> None:
    assert find_model(None, tmp_path) == DEMO_MODEL
    assert DEMO_MODEL.stat().st_size < 3_000_000


# The rendezvous file


@pytest.mark.parametrize("text", ["", '{"url": "http://127', "[]", "null", '{"url": "x"}'])
def test_half_a_rendezvous_file_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.json"
    assert read_rendezvous(path) is None
    path.write_text(text)
    assert read_rendezvous(path) is None


def test_rendezvous_tells_everything_and_only_to_us(tiny: Path, rendezvous: Path) -> None:
    with running(tiny, rendezvous) as (child, engine):
        assert stat.S_IMODE(rendezvous.stat().st_mode) == 0o600
        assert [path.name for path in rendezvous.parent.iterdir()] == ["model.json"]
        assert engine.name == "tiny-random"
        assert not engine.demo
        assert (engine.slots, engine.context_tokens, engine.pid) == (2, 16_384, child.pid)
        assert engine.key not in repr(engine)


def test_context_is_what_the_model_really_has(tiny: Path, rendezvous: Path) -> None:
    with running(tiny, rendezvous, context_tokens=100_000, slots=1) as (_, engine):
        assert engine.context_tokens == 32_768


# Asking


def test_demo_model_describes_itself(demo: EmbeddedEngine) -> None:
    assert (demo.name, demo.demo, demo.slots, demo.context_tokens) == ("演示模型", True, 8, 512)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("你好", "演示模型"),
        ("请问你是谁？", "我是演示模型"),
        ("你是Cogito吗", "我不是 Cogito"),
        ("怎么接入真正的模型？", "MODEL_API_URL"),
        ("公众号里有什么口令", "清空、帮助、人工、投诉、继续"),
        ("每天能问多少次", "200 次"),
        ("讲个故事", "从前"),
        ("鲁迅写过哪些书", "我只是演示模型"),
    ],
)
def test_demo_model_answers(demo: EmbeddedEngine, question: str, expected: str) -> None:
    assert expected in ask(demo, question)
    assert expected in ask(demo, "你好", "你好！我是演示模型，有什么可以帮你？", question)


def test_demo_model_thinks_when_told_to(demo: EmbeddedEngine) -> None:
    answer = ask(demo, "你是谁", chat_template_kwargs={"enable_thinking": True})
    thought, closing, rest = answer.partition("</think>\n\n")
    assert thought.startswith("<think>\n") and closing
    assert rest.startswith("我是演示模型")


def test_answer_is_streamed(demo: EmbeddedEngine) -> None:
    with post(demo, "讲个故事", stream=True, stream_options={"include_usage": True}) as response:
        *chunks, usage, done = events(response)
    assert done == "[DONE]"
    assert json.loads(usage)["usage"]["completion_tokens"] > 50
    choices = [json.loads(chunk)["choices"][0] for chunk in chunks]
    deltas = [choice["delta"].get("content") or "" for choice in choices]
    assert choices[-1]["finish_reason"] == "stop"
    assert len([delta for delta in deltas if delta]) > 50
    assert "".join(deltas).startswith("从前")


def test_prompt_longer_than_the_context_is_refused(demo: EmbeddedEngine) -> None:
    with post(demo, "一二三四五六七八九十" * 100) as response:
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "exceed_context_size_error"


def test_without_the_key_nothing_is_told(demo: EmbeddedEngine) -> None:
    for path in ("/v1/chat/completions", "/props", "/slots"):
        url = demo.url.replace("/v1/chat/completions", path)
        with requests.get(url, timeout=PATIENCE) as response:
            assert response.status_code in (401, 404)
    with requests.post(demo.url, json={"messages": []}, timeout=PATIENCE) as response:
        assert response.status_code == 401


def test_closing_the_connection_stops_the_model(tiny: Path, rendezvous: Path) -> None:
    with running(tiny, rendezvous, context_tokens=32_768, slots=1) as (_, engine):
        with post(engine, "x", stream=True, max_tokens=30_000, ignore_eos=True) as response:
            assert "choices" in next(events(response))
        begin = time.monotonic()
        # The only slot: written to its end, the first answer would keep it for more than ten seconds.
        ask(engine, "x", max_tokens=1)
        assert time.monotonic() - begin < 5


# Ending


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly_even_while_it_answers(tiny: Path, rendezvous: Path, number: int) -> None:
    with (
        running(tiny, rendezvous) as (child, engine),
        post(engine, "x", stream=True, max_tokens=15_000, ignore_eos=True) as response,
    ):
        next(events(response))
        child.send_signal(number)
        assert child.wait(5) == 0
        assert not rendezvous.exists()


def test_engine_ends_with_its_parent(tiny: Path, rendezvous: Path) -> None:
    with running(tiny, rendezvous) as (child, _):
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(5) == 0
        assert not rendezvous.exists()


def test_killed_engine_is_followed_by_another(tiny: Path, rendezvous: Path) -> None:
    with running(tiny, rendezvous) as (child, first):
        child.kill()
        assert "内存不足" in explain_exit(child.wait(5))
    assert rendezvous.exists()
    with running(tiny, rendezvous) as (_, second):
        assert (second.pid, second.key) != (first.pid, first.key)
        assert ask(second, "x", max_tokens=3)


def test_another_engines_rendezvous_is_left_alone(tiny: Path, rendezvous: Path) -> None:
    with running(tiny, rendezvous) as (first, _), running(tiny, rendezvous) as (_, second):
        first.terminate()
        assert first.wait(5) == 0
        assert read_rendezvous(rendezvous) == second


# What can be wrong


def test_missing_model_file(tmp_path: Path, rendezvous: Path) -> None:
    with start(tmp_path / "gone.gguf", rendezvous) as child:
        code, said = ended(child)
    assert code == embedded.UNUSABLE_MODEL
    assert "打不开模型文件" in said and "gone.gguf" in said


def test_file_that_is_no_gguf(tmp_path: Path, rendezvous: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>404</html>")
    with start(tmp_path / "page.gguf", rendezvous) as child:
        code, said = ended(child)
    assert code == embedded.UNUSABLE_MODEL
    assert "不是 GGUF 模型文件" in said


def test_half_downloaded_model(tmp_path: Path, rendezvous: Path) -> None:
    (tmp_path / "half.gguf").write_bytes(DEMO_MODEL.read_bytes()[:1_000_000])
    with start(tmp_path / "half.gguf", rendezvous) as child:
        code, said = ended(child)
    assert code == embedded.UNUSABLE_MODEL
    assert "已损坏或不完整" in said
    assert "corrupted or incomplete" in said, "llama.cpp's own words are passed on"
    assert not rendezvous.exists()


def test_too_little_memory(tiny: Path, rendezvous: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    with start(tiny, rendezvous, context_tokens=8_000_000, before=limit) as child:
        code, said = ended(child)
    assert code == embedded.UNUSABLE_MODEL
    assert "内存不足" in said


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("raise ImportError('libgomp.so.1: cannot open shared object file')", "apt-get install libgomp1"),
        ("raise ModuleNotFoundError('No module named xllamacpp')", "make setup"),
        ("raise ImportError('version GLIBC_2.99 not found')", "GLIBC_2.99"),
    ],
)
def test_engine_that_cannot_be_imported(tmp_path: Path, rendezvous: Path, module: str, expected: str) -> None:
    (tmp_path / "xllamacpp.py").write_text(module)
    with start(DEMO_MODEL, rendezvous, pythonpath=str(tmp_path)) as child:
        code, said = ended(child)
    assert code == embedded.UNUSABLE_ENGINE
    assert expected in said


def test_too_old_a_cpu_is_explained_by_the_parent(tmp_path: Path, rendezvous: Path) -> None:
    (tmp_path / "xllamacpp.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    with start(DEMO_MODEL, rendezvous, pythonpath=str(tmp_path)) as child:
        code, _ = ended(child)
    assert code == -signal.SIGILL
    assert "CPU 太旧" in explain_exit(code)


@pytest.mark.parametrize("code", [0, 1, 3, 4, -2, -4, -6, -7, -9, -11, -15, -31])
def test_every_exit_has_a_sentence(code: int) -> None:
    assert explain_exit(code).endswith("。")
