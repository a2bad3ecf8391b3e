"""Markdown as it reads well in a chat bubble, which shows plain text and nothing else.

`plain(raw, start, end)` translates a stretch of an answer. What came before `start` only tells where we are (in a
code block, in a table, in a formula), so stretches that follow one another read like the whole.
"""

import re
from collections.abc import Callable

from wechat.formulas import CLOSING, OPENING, read_inline, readable

_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_TABLE = re.compile(r"\s*\|.*\|\s*$")
_TABLE_RULE = re.compile(r"\s*\|(\s*:?-+:?\s*\|)+\s*$")
_RULE = re.compile(r"\s{0,3}([-*_])(\s*\1){2,}\s*$")
_UNDERLINE = re.compile(r"={3,}\s*$")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_BULLET = re.compile(r"(\s*)[-*+]\s+(?:\[([ xX])\]\s+)?")
_QUOTE = re.compile(r"\s{0,3}(?:>\s?)+")

_ANCHOR = re.compile(r"<a\b[^<>]*?href\s*=\s*[\"']?([^\"'\s<>]*)[^<>]*>(.{0,1000}?)</a\s*>", re.I | re.S)
_INLINE: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(r"</?think>", re.I), ""),
    (re.compile(r"<br\s*/?>", re.I), "\n"),
    (re.compile(r"</?(?:b|strong|i|em|u|p|div|span|sub|sup|code|h[1-6]|ul|ol|li)>", re.I), ""),
    (re.compile(r"<(https?://[^\s<>]+)>"), r"\1"),
    (
        re.compile(r"!\[([^\[\]\n]{0,300})\]\(\s*([^()\s]*)[^()\n]*\)"),
        lambda m: _link(f"图片：{m[1]}" if m[1] else "图片", m[2]),
    ),
    (re.compile(r"\[([^\[\]\n]{1,300})\]\(\s*([^()\s]*)[^()\n]*\)"), lambda m: _link(m[1], m[2])),
    (re.compile(r"\*\*(?=\S)(.{1,500}?)(?<=\S)\*\*"), r"\1"),
    # Only between Latin letters and digits a mark is none: 2*3*4, snake_case. Chinese has no spaces around it.
    (re.compile(r"(?<![A-Za-z0-9_])__(?=\S)(.{1,500}?)(?<=\S)__(?![A-Za-z0-9_])"), r"\1"),
    (re.compile(r"(?<![*A-Za-z0-9])\*(?=[^\s*])([^*\n]*?)(?<=[^\s*])\*(?![*A-Za-z0-9])"), r"\1"),
    (re.compile(r"(?<![_A-Za-z0-9])_(?=[^\s_])([^_\n]*?)(?<=[^\s_])_(?![_A-Za-z0-9])"), r"\1"),
    (re.compile(r"~~(?=\S)(.{1,500}?)(?<=\S)~~"), r"\1"),
    (re.compile(r"\\$"), ""),
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!~|>])"), r"\1"),
]
# Lengths are bounded: a model that is asked for ten thousand brackets must not hold up everybody else.
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.{1,1000}?)(?<!`)\1(?!`)")
# A bubble makes a link of <a, and XML knows neither control characters nor halves of characters.
_OPENING_A = re.compile(r"<(?=/?a[\s>/])", re.I)
_UNUSABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def plain(raw: str, start: int = 0, end: int | None = None) -> str:
    """The stretch from `start` to `end` as plain text."""
    end = len(raw) if end is None else end
    lines: list[str] = []
    fence, formula, header, begin = "", False, None, 0
    for line in raw.split("\n"):
        finish = begin + len(line)
        inside = line[max(0, start - begin) : max(0, end - begin)]
        shown = begin < end and (finish >= start if begin < start else True) and bool(inside or not line)
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1] == fence):
            fence = "" if fence else mark[1]
        elif fence:
            if shown:
                lines.append(inside)
        elif (formula := formula and bool(line.strip())) or OPENING.match(line):
            if shown and (read := _formula(inside)):
                lines.append(read)
            formula = not (formula and CLOSING.match(line))
        elif _TABLE.match(line):
            cells = _cells(line)
            if _TABLE_RULE.match(line):
                pass
            elif header is None:
                header = cells
                if shown and not _rule_follows(raw, finish):
                    lines.append("　".join(map(_inline, cells)))
            elif shown and inside == line:
                lines.append(_row(header, cells))
            elif shown:
                lines.append(_inline(inside))
        else:
            if shown and (text := _line(inside, begins=start <= begin)) is not None:
                lines.append(text)
        if not _TABLE.match(line):
            header = None
        begin = finish + 1
        if begin > end:
            break
    return clean(re.sub(r"\n{3,}", "\n\n", "\n".join(lines))).strip("\n").rstrip()


def clean(text: str) -> str:
    """Without what neither XML nor a chat bubble can hold, and without links of <a>."""
    return _OPENING_A.sub("＜", usable(text))


def usable(text: str) -> str:
    """Without what XML cannot hold."""
    return _UNUSABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _line(text: str, begins: bool) -> str | None:
    """A line outside of code and tables; None if nothing of it is shown."""
    if begins:
        if _RULE.match(text):
            return "————————"
        if _UNDERLINE.match(text):
            return None
        if heading := _HEADING.match(text):
            return _inline(heading[1])
        if quote := _QUOTE.match(text):
            text = "▎" + text[quote.end() :]
        if bullet := _BULLET.match(text):
            box = {None: "• ", " ": "☐ "}.get(bullet[2], "☑ ")
            return bullet[1].replace("\t", "  ") + box + _inline(text[bullet.end() :])
    return _inline(text)


def _inline(text: str) -> str:
    """Emphasis, links and code spans; what stands in a code span stays as it is."""
    parts, at = [], 0
    for span in _CODE_SPAN.finditer(text):
        parts += [_markup(text[at : span.start()]), span[2]]
        at = span.end()
    return "".join([*parts, _markup(text[at:])]) if parts else _markup(text)


def _markup(text: str) -> str:
    if not text.isascii() or not text.isalnum():
        text = read_inline(text)
        text = _ANCHOR.sub(lambda m: _link(m[2], m[1]), text)
        for pattern, replacement in _INLINE:
            text = pattern.sub(replacement, text)
    return text


def _link(text: str, url: str) -> str:
    return text if not url or url == text or url.startswith("#") else f"{text}（{url}）"


def _formula(text: str) -> str:
    """A line of a formula of several lines."""
    if found := OPENING.match(text):
        return readable(found[2])
    found = CLOSING.match(text)
    return readable(found[1] if found else text)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]


def _row(header: list[str], cells: list[str]) -> str:
    """A table's row in words: its first cell, then the others with the names of their columns."""
    first, *rest = map(_inline, cells)
    if not rest:
        return f"• {first}"
    if len(cells) == 2:
        return f"• {first}：{rest[0]}"
    names = [*map(_inline, header[1:]), *[""] * len(rest)]
    return f"• {first}：" + "，".join(
        f"{name} {cell}".strip() for name, cell in zip(names, rest, strict=False) if cell
    )


def _rule_follows(raw: str, at: int) -> bool:
    return bool(_TABLE_RULE.match(raw[at + 1 : at + 400].split("\n", 1)[0]))
