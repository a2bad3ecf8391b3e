"""Answers in pieces that fit a message: cut between sentences, measured in bytes, with a hint of the rest."""

import re
from dataclasses import dataclass

from wechat.formulas import is_inside
from wechat.plain import plain

MIN_PIECE_CHARS = 300
_SENTENCE = re.compile(r"[。！？!?…；;]+[”’\"'）)」』】》]*|[.](?=\s)|\n+")
_CLAUSE = re.compile(r"[，,、：:]|\s")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an answer, as plain text; `end` counts in the answer as the model wrote it."""

    text: str
    end: int


def cut(raw: str, start: int, room: int, *, final: bool, at_least: int = 0) -> Piece:
    """As much of the answer from `start` on as fits `room` bytes.

    Of a finished answer all that is left, if it fits. Else it ends between sentences, or, where that leaves less than
    half of the room (or, while it is being written, less than `at_least` characters), between clauses or words.
    The piece is empty where nothing can be shown yet.
    """
    end = len(raw)
    if final and size(whole := plain(raw, start, end)) <= room:
        return Piece(whole, end)
    limit = _limit(raw, start, room)
    sentences = [at for at in _ends(_SENTENCE, raw, start, limit) if _whole(raw, at)]
    best = sentences[-1] if sentences else start
    enough = (limit - start) // 2 if limit < end else at_least
    if best - start <= enough:
        clauses = [at for at in _ends(_CLAUSE, raw, start, limit) if _whole(raw, at)]
        # An unfinished answer need not be cut in mid-sentence at all costs, a full message must.
        if clauses and (limit < end or clauses[-1] - start >= max(at_least, 40)):
            best = max(best, clauses[-1])
        if limit < end and best - start <= enough // 2:
            best = _character_end(raw, limit)
    return Piece(plain(raw, start, best), best)


def paragraphs(raw: str, start: int, room: int) -> Piece:
    """The whole paragraphs so far that fit, of an answer that is being written."""
    limit = _limit(raw, start, room)
    ends = [at for at in _ends(re.compile(r"\n\s*\n"), raw, start, limit) if not _in_code(raw, at)]
    best = ends[-1] if ends else start
    return Piece(plain(raw, start, best), best)


def characters_left(raw: str, start: int) -> int:
    """How much there is from `start` on, for people: rounded."""
    left = len(plain(raw, start))
    unit = 100 if left > 300 else 10
    return max(unit, round(left / unit) * unit) if left else 0


def size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def fit(text: str, room: int) -> str:
    """A text that is not an answer's (staff's, or a part of one), shortened if it must be."""
    if size(text) <= room:
        return text
    data = text.encode("utf-8", "surrogatepass")[: max(0, room - 3)]
    return data.decode("utf-8", "ignore") + "…"


def _fits(raw: str, start: int, end: int, room: int) -> bool:
    return size(plain(raw, start, end)) <= room


def _limit(raw: str, start: int, room: int) -> int:
    """The last position up to which the text fits."""
    low, high = start, min(len(raw), start + room)
    if _fits(raw, start, high, room):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(raw, start, middle, room) else (low, middle)
    return low


def _ends(pattern: re.Pattern[str], raw: str, start: int, limit: int) -> list[int]:
    # A match that touches the end of what is written might go on: 。 may be followed by ”.
    return [match.end() for match in pattern.finditer(raw, start, limit) if match.end() <= limit]


def _whole(raw: str, at: int) -> bool:
    """Whether a cut here leaves Markdown as it is: not within emphasis, a link, a code span, or a table."""
    begin = raw.rfind("\n", 0, at - 1) + 1
    line = raw[begin:at]
    if line.lstrip().startswith("|"):  # a table's first row must stay with what follows
        previous = raw[raw.rfind("\n", 0, max(0, begin - 1)) + 1 : begin]
        return line.endswith("\n") and previous.lstrip().startswith("|")
    if line.endswith("\n"):
        return True
    if _in_code(raw, at) or is_inside(raw[begin : at + 300].split("\n", 1)[0], at - begin):
        return False
    opened = line.rfind("[")
    in_link = (
        opened >= 0 and re.match(r"\[[^\]]*\]\([^)]*\)", line[opened:]) is None and "](" in raw[begin : at + 300]
    )
    return line.count("**") % 2 == 0 and line.count("`") % 2 == 0 and not in_link and not re.search(r"<[^<>]*$", line)


def _in_code(raw: str, at: int) -> bool:
    return len(re.findall(r"^\s{0,3}(?:```|~~~)", raw[:at], re.M)) % 2 == 1


def _character_end(raw: str, at: int) -> int:
    """Not within a character that is made of several: emoji with joiners, accents."""
    joins = "\u200d\ufe0f\u20e3"
    back = at
    while (
        back > max(0, at - 10)
        and back < len(raw)
        and (raw[back] in joins or raw[back - 1] == "\u200d" or 0x1F3FB <= ord(raw[back]) <= 0x1F3FF)
    ):
        back -= 1
    return back if back > at - 10 else at
