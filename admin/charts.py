"""Small charts in HTML and SVG: bars, lines, shares and ranks, in the colours and the width around them."""

from collections.abc import Callable, Sequence
from typing import Any

from admin.look import esc

Number = float | int
KEYS = ("a", "b", "c", "d", "e")  # classes of colours


def card(title: str, big: str, told: str = "", chart: str = "", *, wide: bool = False) -> str:
    """A figure with what explains it; `big` and `chart` are HTML."""
    below = f'<div class="soft">{told}</div>' if told else ""
    return (
        f'<section class="card{" wide" if wide else ""}"><h3>{esc(title)}</h3><div class="big">{big}</div>'
        f"{below}{chart}</section>"
    )


def bars(values: Sequence[Number], labels: Sequence[str], shown: Callable[[Number], str]) -> str:
    """A bar for each value."""
    most = max(values, default=0)
    drawn = "".join(
        f'<i style="height:{100 * value / most if most else 0:.1f}%" title="{esc(label)}：{esc(shown(value))}"></i>'
        for value, label in zip(values, labels, strict=True)
    )
    told = esc("，".join(f"{label} {shown(value)}" for value, label in zip(values, labels, strict=True)))
    return (
        f'<div class="chart"><span class="top">{esc(shown(most))}</span>'
        f'<div class="bars" role="img" aria-label="{told}">{drawn}</div>{_axis(labels)}</div>'
    )


def lines(
    series: Sequence[tuple[str, Sequence[Number | None]]], labels: Sequence[str], shown: Callable[[Any], str]
) -> str:
    """A line for each series; where it has no value, the line has a gap."""
    known = [value for _, values in series for value in values if value is not None]
    most = max(known, default=0) or 1
    drawn = "".join(
        f'<g class="{key}">{_line(values, most)}</g>' for key, (_, values) in zip(KEYS, series, strict=False)
    )
    told = esc("；".join(f"{name}：{'，'.join(shown(one) for one in values)}" for name, values in series))
    legend = _legend([(name, "") for name, _ in series])
    return (
        f'<div class="chart"><span class="top">{esc(shown(most) if known else "")}</span>'
        f'<svg class="lines" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{told}">{drawn}'
        f"</svg>{_axis(labels)}{legend}</div>"
    )


def _line(values: Sequence[Number | None], most: Number) -> str:
    """Stretches of points that follow one another; a point alone is a short stroke."""
    step = 100 / max(1, len(values) - 1)
    stretches: list[list[str]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append(f"{at * step:.2f},{98 - 94 * value / most:.2f}")
    drawn = []
    for points in filter(None, stretches):
        if len(points) == 1:
            x, y = points[0].split(",")
            points = [f"{max(0.0, float(x) - 1):.2f},{y}", f"{min(100.0, float(x) + 1):.2f},{y}"]
        drawn.append(f'<polyline points="{" ".join(points)}"/>')
    return "".join(drawn)


def share(parts: Sequence[tuple[str, Number]]) -> str:
    """One bar of several parts, with their names and percents."""
    whole = sum(value for _, value in parts)
    if not whole:
        return ""
    drawn = "".join(
        f'<i class="{key}" style="width:{100 * value / whole:.2f}%"></i>'
        for key, (_, value) in zip(KEYS, parts, strict=False)
    )
    legend = _legend([(name, f"{value / whole:.0%}") for name, value in parts])
    return f'<div class="share">{drawn}</div>{legend}'


def ranks(parts: Sequence[tuple[str, Number]], whole: Number, shown: Callable[[Number], str]) -> str:
    """A bar beside each name, of what share of the whole it is."""
    rows = "".join(
        f'<div class="rank"><span>{esc(name)}</span><b>{esc(shown(value))}</b>'
        f'<div class="track"><i style="width:{min(100, 100 * value / whole) if whole else 0:.1f}%"></i></div></div>'
        for name, value in parts
    )
    return f'<div class="ranks">{rows}</div>'


def _axis(labels: Sequence[str]) -> str:
    """The first, the middle and the last label."""
    if not labels:
        return ""
    some = [labels[0], labels[len(labels) // 2], labels[-1]] if len(labels) > 2 else list(labels)
    return f'<div class="axis">{"".join(f"<span>{esc(label)}</span>" for label in some)}</div>'


def _legend(parts: Sequence[tuple[str, str]]) -> str:
    names = "".join(
        f'<span><i class="{key}"></i>{esc(name)} <b>{esc(value)}</b></span>'
        for key, (name, value) in zip(KEYS, parts, strict=False)
    )
    return f'<div class="legend">{names}</div>'
