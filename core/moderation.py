"""Words the service may not say or hear: found in a question, and in an answer while it is being written.

Every word has an action: `mask` hides it in answers, `block` refuses a question and ends an answer, and
`allow` is a phrase in which other words are harmless (反暴力 for 暴力). A guarded stream shows exactly what
`mask` makes of the whole text, however it was cut, and holds back only what could still become a word.

Words and texts are compared in the same form:

* each character by itself: NFKC, lower case, traditional → simplified; what cannot be seen (zero-width
  characters, variation selectors, combining accents) does not exist;
* one to three separators (习 近, 习-近) between two Chinese characters do not exist either. Nor do line breaks,
  colons, long dashes and 、 inside a word of three characters or more (法：轮—功); they part sentences, too, and of
  two characters that happen to meet there many are a word (方法：轮流). Other punctuation keeps words apart;
* a word all in ASCII must not be part of a longer word or number: `sex` is in 卖sex片 and sex123, but
  neither in Essex nor in s-e-x.
"""

import json
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from ahocorasick_rs import AhoCorasick

from core.errors import ContentBlocked

Action = Literal["mask", "block", "allow"]  # the weakest first: where two words look the same, the last counts

MASK = "**"
FEW_CHANGES = 2_000
UNMISTAKABLE = 3  # characters of a word that sentences do not make by chance


@dataclass(frozen=True, slots=True)
class Word:
    """A word as staff wrote it."""

    text: str
    action: Action = "mask"


@dataclass(frozen=True, slots=True)
class Hit:
    """Where in a text a word was found; `start` and `end` count in the text as it was written."""

    word: str
    action: Action
    start: int
    end: int


class WordFilter:
    """Immutable: staff who change words make a new filter, and streams under way keep theirs."""

    def __init__(self, words: Iterable[Word] = ()) -> None:
        self._words = _by_form(words)
        self._indexes: tuple[_Index, ...] = (_Index(self._words),)

    def updated(self, words: Iterable[Word]) -> "WordFilter":
        """A filter for `words`, quick where few have changed.

        Building the index of 100,000 words holds the GIL for 0.3 s. So the big one is kept, new words get a
        small one beside it, and what the big one finds that is no word any more is passed over.
        """
        new = WordFilter()
        new._words = _by_form(words)
        kept = self._indexes[0]
        added = new._words.keys() - kept.forms
        removed = len(kept.forms) - (len(new._words) - len(added))
        if len(added) + removed <= FEW_CHANGES < len(kept.forms):
            new._indexes = (kept, _Index(added)) if added else (kept,)
        else:
            new._indexes = (_Index(new._words),)
        return new

    def find(self, text: str) -> list[Hit]:
        """Every word to mask or block, harmless ones left out, in the order of the text."""
        form, origin = _normalise(text)
        harmful, _ = _harmful(self._matches(text, form, origin))
        return [_hit(match, origin) for match in harmful]

    def check(self, question: str) -> list[Hit]:
        """Raise ContentBlocked if a blocked word stands in the question; words to mask do not refuse it."""
        hits = self.find(question)
        for hit in hits:
            if hit.action == "block":
                raise ContentBlocked(hit.word)
        return hits

    def mask(self, text: str) -> str:
        """The text with `**` for each word. Blocked words are hidden too: here nobody can be refused."""
        return _masked(text, self.find(text), 0, len(text))[0]

    def guard(self) -> "Guard":
        return Guard(self)

    def _matches(self, text: str, form: str, origin: Sequence[int]) -> "list[_Match]":
        """Every word and phrase in a text (of this form), sorted by start, allowed phrases first."""
        matches = [
            (start, end, word)
            for index in self._indexes
            for _, start, end in index.find(form)
            if (word := self._words.get(form[start:end]))
            and _stands_alone(form, start, end)
            and not _torn(word, end - start, text, origin[start], origin[end - 1])
        ]
        if len(matches) > 1:
            matches.sort(key=lambda match: (match[0], match[2].action != "allow", match[1]))
        return matches

    def _decided(self, form: str, lead: int) -> int:
        """Up to where (from `lead` on) a normalised text stays as it is, whatever follows."""
        # Separators at the end do not exist if a Chinese character follows.
        gap = _OPEN_GAP.search(form, max(0, len(form) - 4)) if form[-1:] in _SEPARATORS else None
        end = decided = gap.start() if gap else len(form)
        for index in self._indexes:
            decided = min(decided, index.unfinished(form, lead, end))
        return decided


class Guard:
    """Watches one answer while it is written.

    `feed` and `flush` return text that is final and safe. At a blocked word, and ever after, they raise
    ContentBlocked; the safe text before the word, not yet returned, is then in `released`.
    """

    def __init__(self, words: WordFilter) -> None:
        self.hits: list[Hit] = []
        self.released = ""
        self._filter = words
        self._before = ""  # the last character released, normalised: it may stand next to a word
        self._held = ""  # what came after it
        self._position = 0  # where in the answer that begins
        self._masked = 0  # how many of its characters a masked word covers that began before
        self._allowed = 0  # how many, normalised, an allowed phrase covers that began before
        self._blocked = ""  # the word that ended the answer

    def feed(self, piece: str) -> str:
        return self._release(piece, last=False)

    def flush(self) -> str:
        """The answer is complete: the rest of it."""
        return self._release("", last=True)

    def _release(self, piece: str, last: bool) -> str:
        self.released = ""
        if self._blocked:
            raise ContentBlocked(self._blocked)
        lead = len(self._before)
        text = self._before + self._held + piece
        form, origin = _normalise(text)
        end = len(form) if last else _whole(origin, self._filter._decided(form, lead))
        matches = [match for match in self._filter._matches(text, form, origin) if lead <= match[0] < end]
        harmful, allowed = _harmful(matches, lead + self._allowed)
        blocked = [match for match in harmful if match[2].action == "block"][:1]
        if blocked:
            end = _whole(origin, blocked[0][0])
            harmful = [match for match in harmful if match[0] < end]

        cut = origin[end] if end < len(form) else len(text)
        hits = [_hit(match, origin) for match in harmful]
        self.released, done = _masked(text, hits, lead + self._masked, cut)
        for hit in hits + [_hit(match, origin) for match in blocked]:
            by = self._position - lead
            self.hits.append(replace(hit, start=hit.start + by, end=hit.end + by))

        self._before = form[end - 1 : end]
        self._held = text[cut:]
        self._position += cut - lead
        self._masked = done - cut
        self._allowed = max(0, allowed - end)
        if blocked:
            self._blocked = blocked[0][2].text
            raise ContentBlocked(self._blocked)
        return self.released


_Match = tuple[int, int, Word]  # start and end in the normalised text


def _harmful(matches: list[_Match], allowed: int = 0) -> tuple[list[_Match], int]:
    """The words that stand in no allowed phrase, and where such phrases end, `allowed` so far."""
    harmful = []
    for match in matches:
        if match[2].action == "allow":
            allowed = max(allowed, match[1])
        elif match[1] > allowed:
            harmful.append(match)
    return harmful, allowed


def _whole(origin: Sequence[int], end: int) -> int:
    """`end`, moved back where it cuts through what is one character in the text."""
    while 0 < end < len(origin) and origin[end - 1] == origin[end]:
        end -= 1
    return end


def _hit(match: _Match, origin: Sequence[int]) -> Hit:
    start, end, word = match
    return Hit(word.text, word.action, origin[start], origin[end - 1] + 1)


def _masked(text: str, hits: Iterable[Hit], done: int, end: int) -> tuple[str, int]:
    """The text from `done` to `end`, and how far it is now done: a word may reach beyond `end`.

    Words that overlap give one mask.
    """
    parts: list[str] = []
    for hit in hits:
        if hit.start >= done:
            parts += text[done : hit.start], MASK
        done = max(done, hit.end)
    if done < end:
        parts.append(text[done:end])
    return "".join(parts), max(done, end)


def _stands_alone(form: str, start: int, end: int) -> bool:
    """Whether a word in ASCII is all of the word or number that stands there."""
    if not form[start:end].isascii():
        return True
    return not (start and _GOES_ON.match(form, start - 1)) and not _GOES_ON.match(form, end - 1)


def _torn(word: Word, length: int, text: str, first: int, last: int) -> bool:
    """Whether what stands there is no word but the end of a sentence and the beginning of the next."""
    if last - first < length or (length >= UNMISTAKABLE and word.action != "allow"):
        return False
    return _BREAKS.isdisjoint(map(_form, word.text)) and not _BREAKS.isdisjoint(map(_form, text[first:last]))


class _Index:
    """An automaton that finds all words at once, and what could still become one of them."""

    def __init__(self, forms: Iterable[str]) -> None:
        self.forms = sorted(forms)
        self.find = partial(AhoCorasick(self.forms).find_matches_as_indexes, overlapping=True)
        self._heads = {form[:2] for form in self.forms}  # most pairs of characters begin no word
        self._longest = max(map(len, self.forms), default=0)

    def unfinished(self, form: str, start: int, end: int) -> int:
        """Where the longest beginning of a word that reaches `end` begins, from `start` on; else `end`."""
        forms = self.forms
        for at in range(max(start, end - self._longest), end):
            beginning = form[at:end]
            if len(beginning) > 1 and beginning[:2] not in self._heads:
                continue
            # A whole word is no beginning of itself; but the next letter may undo one that is ASCII.
            place = bisect_left(forms, beginning) if beginning.isascii() else bisect_right(forms, beginning)
            if place < len(forms) and forms[place].startswith(beginning):
                return at
        return end


# ---- The form in which words and texts are compared

_BREAKS = frozenset("\n\r\u2028\u2029:—、")  # may part a word, and sentences
_SEPARATORS = " \t*-‐‒–―−_.·•・|/\\~+=^#@&," + "".join(sorted(_BREAKS))
_SEPARATOR = f"[{re.escape(_SEPARATORS)}]"
_CHINESE = "[々〇㐀-䶿一-鿿豈-﫿\U00020000-\U0003ffffぁ-ゖァ-ヺㄅ-ㄯ]"
_GAP = re.compile(f"{_SEPARATOR}(?<={_CHINESE}{_SEPARATOR}){_SEPARATOR}{{0,2}}(?={_CHINESE})")
_OPEN_GAP = re.compile(f"(?<={_CHINESE}){_SEPARATOR}{{1,3}}\\Z")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f\xad\u0300-\u036f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u20d0-\u20ff\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef]"
)
_GOES_ON = re.compile("[a-z](?=[a-z])|[0-9](?=[0-9])")
_SENTENCE_MARKS = "，︐﹐…‥"  # NFKC would make separators of them
_SEVERAL = "\ue000"  # stands for a character that becomes none or several


def _simplified() -> dict[str, str]:
    """zhconv's table, single characters only, because a stream cannot wait for whole phrases.

    Read from its file: importing zhconv imports pkg_resources, which takes 0.2 s.
    """
    spec = find_spec("zhconv")
    assert spec and spec.origin
    tables = json.loads(Path(spec.origin).with_name("zhcdict.json").read_bytes())
    return {a: b for name in ("zh2Hans", "zh2CN") for a, b in tables[name].items() if len(a) == 1}


_SIMPLIFIED = _simplified()


@lru_cache(1 << 16)
def _form(char: str) -> str:
    """One character as it is compared: nothing, one character or several."""
    if char in _SENTENCE_MARKS:
        return char
    char = char.encode(errors="replace").decode()  # half a surrogate pair is no character
    seen = _UNSEEN.sub("", unicodedata.normalize("NFKC", char).lower())
    return "".join(_SIMPLIFIED.get(c, c) for c in seen)


class _Forms(dict[int, str]):
    """For str.translate: the form of each character, kept as characters are met."""

    def __missing__(self, code: int) -> str:
        form = _form(chr(code))
        if len(form) != 1:
            form = _SEVERAL
        if code <= 0xFFFF:
            self[code] = form
        return form


_FORMS = _Forms()


def _normalise(text: str) -> tuple[str, Sequence[int]]:
    """The form in which a text is compared, and where in the text each of its characters comes from."""
    form = text.translate(_FORMS)
    origin: Sequence[int] = range(len(text))
    if _SEVERAL in form:
        forms = [_form(char) for char in text]
        form = "".join(forms)
        origin = [at for at, chars in enumerate(forms) for _ in chars]
    if _GAP.search(form):
        edges = [0, *(edge for gap in _GAP.finditer(form) for edge in gap.span()), len(form)]
        kept = [slice(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
        origin = [at for part in kept for at in origin[part]]
        form = "".join(form[part] for part in kept)
    return form, origin


def comparable(text: str) -> str:
    """The form in which a text is compared; nothing where nothing of it can be seen."""
    return _normalise(text.strip())[0]


def _by_form(words: Iterable[Word]) -> dict[str, Word]:
    """Words by the form in which they are found."""
    words = list(words)
    return {
        form: word
        for action in get_args(Action)
        for word in words
        if word.action == action and (form := comparable(word.text))
    }
