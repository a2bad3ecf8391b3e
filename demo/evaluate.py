"""Measure a demo model through the real engine: `python demo/evaluate.py [model.gguf]`, from the project's root.

Asks every phrasing of qa_zh.txt, bare and dressed up, with and without history, at the default temperature of the
file and at llama.cpp's 0.8; then what it has not been trained on (held_out_zh.txt: unknown questions, and new
phrasings with the old one they mean).
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from core.embedded import DEMO_CONTEXT_TOKENS, DEMO_MODEL, DEMO_SLOTS, EmbeddedEngine, read_rendezvous  # noqa: E402

UNKNOWN = "我只是演示模型，"
DEEP = "Enable deep thinking subroutine.\n\n"
SYSTEM = "你是这个微信账号的 AI 助手。请用简洁、友好的中文回答；不确定的事情就说不知道，不要编造。"
# Not in the corpus, and must stay out of it, as everything in held_out_zh.txt.
FACTS = (
    SYSTEM
    + "\n\n以下是这个品牌的资料：\n云栖茶馆，主营龙井与白茶。\n营业到晚上十点，周三休息。\n包间可坐八人，需付订金。"
)
BEFORE = ("", "请问", "请问，", "你好，", "那")
AFTER = ("", "？", "?", "。", "呢", "！")

Case = tuple[str, list[dict[str, str]], Callable[[str], bool]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=DEMO_MODEL)
    model = parser.parse_args().model.resolve()
    random.seed(1)
    with tempfile.TemporaryDirectory() as directory:
        rendezvous = Path(directory) / "model.json"
        code = (
            "import sys; from pathlib import Path; from core.embedded import serve_engine;"
            f"serve_engine(Path({str(model)!r}), Path({str(rendezvous)!r}), watch_stdin=True, "
            f"slots={DEMO_SLOTS}, context_tokens={DEMO_CONTEXT_TOKENS})"
        )
        begin = time.monotonic()
        with subprocess.Popen([sys.executable, "-c", code], cwd=HERE.parent, stdin=subprocess.PIPE) as child:
            try:
                while (engine := read_rendezvous(rendezvous)) is None:
                    if child.poll() is not None:
                        sys.exit("the engine did not start")
                    time.sleep(0.005)
                print(f"{model.stat().st_size:,} bytes, answering {time.monotonic() - begin:.2f} s after the start")
                measure(engine)
            finally:
                child.terminate()


def measure(engine: EmbeddedEngine) -> None:
    """Ask everything, and print a line per group."""
    answers = read_answers()
    cases = [*known_cases(answers), *unknown_cases(answers)]
    for temperature in (None, 0.8):
        print("temperature", "of the file" if temperature is None else temperature)
        run(engine, cases, temperature)
    _, usage = ask(engine, [{"role": "user", "content": "讲个故事"}], None)
    print(f"{usage['predicted_per_second']:.0f} tokens/s alone")


def read_answers() -> dict[str, str]:
    """Every phrasing of the corpus and its answer."""
    pairs = (line.split(" => ") for line in lines("qa_zh.txt"))
    return {question: answer.replace("\\n", "\n") for questions, answer in pairs for question in questions.split("|")}


def lines(name: str) -> list[str]:
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def known_cases(answers: dict[str, str]) -> Iterable[Case]:
    for question, answer in answers.items():
        right = answer.__eq__
        yield "known, bare, default system prompt", conversation(SYSTEM, question), right
        dressed = random.choice(BEFORE[1:]) + question + random.choice(AFTER)
        yield "known, dressed up", conversation(SYSTEM, dressed), right
        yield "known, facts of a brand", conversation(FACTS, dressed), right
        yield "known, no system prompt", conversation("", question), right
        for turns in (1, 2, 3, 4):
            asked = random.choice(BEFORE) + question + random.choice(AFTER)
            past = history(answers, turns)
            yield f"known, {turns} turns of history", conversation(random.choice((SYSTEM, FACTS)), asked, past), right
        deep = conversation(DEEP + SYSTEM, asked, past)
        yield "known, deep thinking, 4 turns of history", deep, thought_then(answer)
    for line in lines("held_out_zh.txt"):
        if " => " in line:
            question, same = line.split(" => ")
            yield "known, new phrasings", conversation(SYSTEM, question), answers[same].__eq__


def thought_then(answer: str) -> Callable[[str], bool]:
    return lambda reply: reply.startswith("<think>\n") and reply.endswith("\n</think>\n\n" + answer)


def unknown_cases(answers: dict[str, str]) -> Iterable[Case]:
    def right(answer: str) -> bool:
        return answer.startswith(UNKNOWN)

    for question in (line for line in lines("held_out_zh.txt") if " => " not in line):
        yield "unknown, default system prompt", conversation(SYSTEM, question), right
        yield "unknown, facts of a brand", conversation(FACTS, question + random.choice(AFTER)), right
        for turns in (1, 3):
            past = history(answers, turns)
            yield "unknown, history", conversation(SYSTEM, question + random.choice(AFTER), past), right


def history(answers: dict[str, str], turns: int) -> list[tuple[str, str]]:
    """`turns` of the corpus, short enough to fit beside the question."""
    short = [(question, answer) for question, answer in answers.items() if len(answer) < 100]
    return random.sample(short, turns)


def conversation(system: str, question: str, past: Iterable[tuple[str, str]] = ()) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": system}] if system else []
    for asked, answered in past:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return [*messages, {"role": "user", "content": question}]


def run(engine: EmbeddedEngine, cases: list[Case], temperature: float | None) -> None:
    with ThreadPoolExecutor(engine.slots) as pool:
        replies = list(pool.map(lambda case: ask(engine, case[1], temperature)[0], cases))
    groups: dict[str, list[bool]] = {}
    for (group, messages, right), reply in zip(cases, replies, strict=True):
        groups.setdefault(group, []).append(right(reply))
        if not right(reply):
            print(f"    {group}: {messages[-1]['content']!r} -> {reply[:60]!r}")
    for group, results in groups.items():
        print(f"  {group}: {sum(results)} of {len(results)}")


def ask(
    engine: EmbeddedEngine, messages: list[dict[str, str]], temperature: float | None
) -> tuple[str, dict[str, float]]:
    """The answer, and llama.cpp's timings."""
    body = {"messages": messages} | ({} if temperature is None else {"temperature": temperature})
    headers = {"Authorization": f"Bearer {engine.key}"}
    with requests.post(engine.url, json=body, headers=headers, timeout=60) as response:
        response.raise_for_status()
        reply = response.json()
    return reply["choices"][0]["message"]["content"], reply["timings"]


if __name__ == "__main__":
    main()
