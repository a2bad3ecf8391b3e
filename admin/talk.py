"""A conversation as bubbles: for 试聊 and for the transcripts of 日志."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from admin.look import chip, empty, esc
from admin.wording import CODES, STATUSES
from core.answers import Sent
from core.moderation import MASK, WordFilter

PARAMETERS = {"max_tokens": "最多 token", "temperature": "温度", "top_p": "top-p"}
ROLES = {"system": "系统提示词", "user": "用户", "assistant": "AI"}


@dataclass(frozen=True)
class Exchange:
    """A question and its answer, as far as it is written; texts as they are, not HTML."""

    question: str
    answer: str
    reasoning: str
    status: str
    told: str = ""  # what else there is to say
    hits: tuple[tuple[str, str, str], ...] = ()  # word, action, where (question or answer)
    question_html: str = ""  # the question with its words marked
    about: str = ""  # HTML: what else is known of it, in a transcript
    chosen: bool = False  # of the turns of a transcript, the one staff look at

    @classmethod
    def of(cls, row: Any, words: WordFilter) -> "Exchange":
        """A finished turn's row."""
        found = orjson.loads(row.hits or "[]")
        hits = tuple((one["word"], one["action"], one["in"]) for one in found)
        told = CODES.get(row.code, row.code) if row.code else ""
        return cls(row.question, row.answer, row.reasoning, row.status, told, hits, mark(row.question, words))


def mark(text: str, words: WordFilter) -> str:
    """A text as HTML, the words the filter finds in it marked."""
    parts, at = [], 0
    for hit in words.find(text):
        if hit.start >= at:
            parts += [
                esc(text[at : hit.start]),
                f'<mark class="{hit.action}">{esc(text[hit.start : hit.end])}</mark>',
            ]
            at = hit.end
    return "".join([*parts, esc(text[at:])])


def talk(exchanges: Sequence[Exchange], none: str = "") -> str:
    """Bubbles, oldest first."""
    if not exchanges:
        return f'<div class="talk">{empty(none or "在下面输入问题，看看现在的提示词会怎么回答。")}</div>'
    return f'<div class="talk">{"".join(map(_exchange, exchanges))}</div>'


def _exchange(one: Exchange) -> str:
    waiting = one.status in ("queued", "answering")
    thought = ""
    if one.reasoning:
        is_open = " open" if waiting and not one.answer else ""
        thought = f"<details{is_open}><summary>思考过程</summary><div>{esc(one.reasoning)}</div></details>"
    body = _masks(esc(one.answer), one.hits)
    if waiting and not one.answer:
        body = '<span class="dots" aria-label="正在回答"><i></i><i></i><i></i></span>'
    notes = []
    if one.status in ("stopped", "failed", "blocked"):
        notes.append(chip(STATUSES[one.status], "warn" if one.status == "stopped" else "bad"))
    if one.told:
        notes.append(f'<span class="soft">{esc(one.told)}</span>')
    names = {"mask": "打码", "block": "拦截", "allow": "放行"}
    places = {"question": "问题", "answer": "回答"}
    notes += [
        chip(f"{places.get(where, where)}{names.get(action, action)}：{word}", "bad" if action == "block" else "warn")
        for word, action, where in dict.fromkeys(one.hits)
    ]
    below = f'<div class="notes">{" ".join(notes)}</div>' if notes else ""
    bubble = f'<div class="bubble">{thought}<div class="said">{body}</div></div>' if body or thought else ""
    question = one.question_html or esc(one.question)
    asked = f'<div class="asked"><div class="bubble">{question}</div></div>'
    both = f'{asked}<div class="answered">{bubble}{below}</div>'
    return f'<div class="turn{" chosen" if one.chosen else ""}">{both}{one.about}</div>' if one.about else both


def _masks(body: str, hits: Sequence[tuple[str, str, str]]) -> str:
    """The answer's `**` with the words that stood there, in their order."""
    masked = iter([word for word, action, where in hits if action == "mask" and where == "answer"])

    def name(match: re.Match[str]) -> str:
        word = next(masked, None)
        return match[0] if word is None else f'<mark class="mask" title="{esc(word)}">{MASK}</mark>'

    return re.sub(re.escape(MASK), name, body) if hits else body


def sent_to_model(sent: Sent | None, prompt_tokens: int | None) -> str:
    """The messages as the model got them."""
    if sent is None:
        return empty("这个回答由别的进程写成，这里看不到当时发出的内容。")
    counted = f"，模型数得 {prompt_tokens} token" if prompt_tokens is not None else ""
    dials = [f"{title} {sent.body[name]}" for name, title in PARAMETERS.items() if name in sent.body]
    head = f"{len(sent.body['messages'])} 条消息，估计 {sent.estimate} token{counted}；{'，'.join(dials)}"
    messages = "".join(
        f'<div class="message"><b>{ROLES[one["role"]]}</b><pre>{esc(one["content"])}</pre></div>'
        for one in sent.body["messages"]
    )
    return f'<p class="soft">{esc(head)}</p>{messages}'
