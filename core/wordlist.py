"""Lists of words as staff have them: pasted, or as .txt and .csv files of whatever program wrote them.

One word per line; behind it, if they like, an action and a category: `赌博,拦截,法律`.
"""

import csv
from collections.abc import Sequence
from typing import NamedTuple

from core.moderation import Action, comparable
from core.store.content import Entry

MAX_WORD_CHARS, MAX_CATEGORY_CHARS = 100, 32
ACTIONS: dict[str, Action] = {
    "mask": "mask",
    "打码": "mask",
    "屏蔽": "mask",
    "block": "block",
    "拦截": "block",
    "禁止": "block",
    "allow": "allow",
    "放行": "allow",
    "允许": "allow",
}
TITLES = {"词", "词语", "关键词", "敏感词", "word", "words", "text"}  # of a first line that names the columns


class Skipped(NamedTuple):
    """A line that is no word, and why."""

    line: int
    text: str
    why: str


class WordList(NamedTuple):
    entries: list[Entry]
    skipped: list[Skipped]


def decoded(data: bytes) -> str:
    """The text of a file; raises ValueError where it is none."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding)
    if b"\0" in data:
        raise ValueError("no text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("gb18030")  # GBK and more: what Excel and Notepad write in China


def read(text: str, action: Action, category: str | None = None) -> WordList:
    """The words of a list; `action` and `category` are for lines that say none (None: as it is already)."""
    entries: list[Entry] = []
    skipped: list[Skipped] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.replace("\0", "").splitlines(), 1):
        columns = _columns(line[:1000])
        if not any(columns) or (number == 1 and columns[0].lower() in TITLES):
            continue
        entry, why = _entry(columns, action, category)
        form = comparable(columns[0])
        if not why and form in seen:
            why = f"和第 {seen[form]} 行重复"
        if why:
            skipped.append(Skipped(number, columns[0] or line.strip(), why))
            continue
        seen[form] = number
        entries.append(entry)
    return WordList(entries, skipped)


def _columns(line: str) -> list[str]:
    separator = "\t" if "\t" in line else ","
    columns = [part.strip() for part in next(csv.reader([line], delimiter=separator), [""])]
    if len(columns) == 1 and "，" in line:  # typed with a Chinese keyboard; but a word may have such a comma itself
        parts = [part.strip() for part in line.split("，")]
        if parts[1].lower() in ACTIONS:
            return parts
    return columns


def _entry(columns: Sequence[str], action: Action, category: str | None) -> tuple[Entry, str]:
    word, said, kind = [*columns, "", "", ""][:3]
    entry = Entry(word, ACTIONS.get(said.lower(), action), kind or category)
    if not word or not comparable(word):
        return entry, "没有可见的字"
    if len(word) > MAX_WORD_CHARS:
        return entry, f"超过 {MAX_WORD_CHARS} 个字"
    if said and said.lower() not in ACTIONS:
        return entry, f"第二列“{said[:20]}”不是打码、拦截或放行"
    if len(kind) > MAX_CATEGORY_CHARS:
        return entry, f"类别超过 {MAX_CATEGORY_CHARS} 个字"
    return entry, ""
