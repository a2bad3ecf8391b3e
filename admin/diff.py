"""What has changed between two texts, by line and within the lines, as HTML that wraps on a phone."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from admin.look import esc

CONTEXT = 2  # unchanged lines shown around a change
MAX_INSIDE = 4_000_000  # characters of the one times those of the other: beyond, a line is marked as a whole
_WORDS = re.compile(r"[A-Za-z0-9_]+|\s+|.", re.S)


def diff(old: str, new: str) -> str:
    """Lines that went, lines that came, and some of those that stayed; nothing where the texts are the same."""
    if old == new:
        return ""
    return f'<div class="diff">{"".join(_lines(old.splitlines(), new.splitlines()))}</div>'


def _lines(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for number, (kind, a, b, c, d) in enumerate(steps):
        if kind == "equal":
            first, last = number == 0, number == len(steps) - 1
            yield from _kept(old[a:b], 0 if first else CONTEXT, 0 if last else CONTEXT)
            continue
        pairs = [_inside(one, other) for one, other in zip(old[a:b], new[c:d], strict=False)]
        for went in [pair[0] for pair in pairs] + [esc(line) for line in old[a + len(pairs) : b]]:
            yield f'<div class="went">{went or "&nbsp;"}</div>'
        for came in [pair[1] for pair in pairs] + [esc(line) for line in new[c + len(pairs) : d]]:
            yield f'<div class="came">{came or "&nbsp;"}</div>'


def _kept(lines: Sequence[str], head: int, tail: int) -> Iterator[str]:
    hidden = len(lines) - head - tail
    if hidden <= 1:
        head, hidden, tail = len(lines), 0, 0
    for line in lines[:head]:
        yield f"<div>{esc(line) or '&nbsp;'}</div>"
    if hidden:
        yield f'<div class="more">{hidden} 行没有变化</div>'
    for line in lines[len(lines) - tail :]:
        yield f"<div>{esc(line) or '&nbsp;'}</div>"


def _inside(old: str, new: str) -> tuple[str, str]:
    """A line as it was and as it is, with what differs marked; unmarked where they have little in common."""
    if len(old) * len(new) > MAX_INSIDE:
        return esc(old), esc(new)
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < 0.4:
        return esc(old), esc(new)
    went = came = ""
    for kind, a, b, c, d in matcher.get_opcodes():
        gone, fresh = esc("".join(before[a:b])), esc("".join(after[c:d]))
        went += gone if kind == "equal" else f"<del>{gone}</del>" if gone else ""
        came += fresh if kind == "equal" else f"<ins>{fresh}</ins>" if fresh else ""
    return went, came
