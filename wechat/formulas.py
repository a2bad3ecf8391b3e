r"""LaTeX made readable as plain text: `\frac{a}{b}` becomes a/b, `x^2` becomes x².

The mini-program reads formulas the same way (`miniprogram/utils/latex.js`).
"""

import re

# Inline, or a block on one line. A price is no formula: $5 和 $10.
_INLINE = re.compile(
    r"\$\$([^$\n]{1,500})\$\$|\\\[([^\n]{1,500}?)\\\]|\\\(([^\n]{1,500}?)\\\)"
    r"|(?<![\\$\w])\$([^\s$\u2e80-\uffef](?:[^$\n\u2e80-\uffef]{0,500}[^\s$\u2e80-\uffef])?)\$(?![\d$])"
)
OPENING = re.compile(r"\s*(\$\$|\\\[)(?!.*\\\])([^$\n]*)$")  # of a block of several lines
CLOSING = re.compile(r"(.*?)(\$\$|\\\])\s*$")

_WRITTEN = """
: alpha:α beta:β gamma:γ delta:δ epsilon:ε varepsilon:ε zeta:ζ eta:η theta:θ lambda:λ mu:μ nu:ν xi:ξ pi:π rho:ρ
sigma:σ tau:τ phi:φ varphi:φ chi:χ psi:ψ omega:ω Gamma:Γ Delta:Δ Theta:Θ Lambda:Λ Pi:Π Sigma:Σ Phi:Φ Psi:Ψ Omega:Ω
times:× cdot:· div:÷ pm:± mp:∓ leq:≤ le:≤ geq:≥ ge:≥ neq:≠ ne:≠ approx:≈ equiv:≡ sim:∼ propto:∝ infty:∞ partial:∂
nabla:∇ sum:∑ prod:∏ int:∫ in:∈ notin:∉ subset:⊂ subseteq:⊆ cup:∪ cap:∩ emptyset:∅ forall:∀ exists:∃ to:→
rightarrow:→ Rightarrow:⇒ leftarrow:← leftrightarrow:↔ implies:⇒ iff:⇔ therefore:∴ because:∵ angle:∠ degree:° circ:°
triangle:△ perp:⊥ parallel:∥ ldots:… cdots:⋯ dots:… prime:′ ast:* land:∧ lor:∨ neg:¬ mid:| ll:≪ gg:≫
"""
_SIGNS = dict(pair.split(":") for pair in _WRITTEN.split()) | {"quad": "  ", "qquad": "    "}
_UP = str.maketrans("0123456789+-=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ")
_DOWN = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")
_GROUP = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
_FRACTION = re.compile(rf"\\[dt]?frac\s*{_GROUP}\s*{_GROUP}")
_ROOT = re.compile(rf"\\sqrt\s*(?:\[([^\]]*)\])?\s*{_GROUP}")
_WORDS = re.compile(
    r"\\(?:text|mathrm|mathbf|mathit|mathbb|mathcal|operatorname|boxed|vec|hat|bar|overline|underline)\s*" + _GROUP
)
_PART = r"(\{[^{}]*\}|[^\s{}])"
_SIMPLE = re.compile(r"\d+(?:\.\d+)?|[a-zA-Z]|\\[a-zA-Z]+|\(.*\)")
MAX_CHARS, MAX_DEPTH = 2000, 4


def readable(source: str) -> str:
    """A formula without its delimiters, as plain text."""
    text = source.strip()
    if len(text) > MAX_CHARS:
        return text
    for _ in range(MAX_DEPTH):
        text = _FRACTION.sub(lambda m: f"{_grouped(m[1])}/{_grouped(m[2])}", text)
        text = _ROOT.sub(lambda m: f"{_small(m[1] or '', _UP) or m[1] or ''}√{_grouped(m[2])}", text)
        text = _WORDS.sub(r"\1", text)
    text = re.sub(r"\\begin\{[^}]*\}(?:\{[^}]*\})?|\\end\{[^}]*\}", "", text)
    text = re.sub(r"\\(?:left|right|displaystyle|limits|[bB]igg?|[!,;: ])(?![a-zA-Z])", "", text)
    text = text.replace("\\\\", "\n")
    text = re.sub(r"\\([a-zA-Z]+)", lambda m: _SIGNS.get(m[1], m[1]), text)
    text = re.sub(r"\\([{}%$#&_|])", r"\1", text)
    text = re.sub(r"\^" + _PART, lambda m: _small(_bare(m[1]), _UP) or f"^{_wrapped(m[1])}", text)
    text = re.sub(r"_" + _PART, lambda m: _small(_bare(m[1]), _DOWN) or f"_{_wrapped(m[1])}", text)
    text = re.sub(r" *& *", " ", re.sub(r"[{}]", "", text))
    return "\n".join(filter(None, (re.sub(r"[ \t]{2,}", " ", line).strip() for line in text.split("\n"))))


def read_inline(text: str) -> str:
    """A line with its formulas made readable."""
    if not _may_have_one(text):
        return text
    return _INLINE.sub(lambda m: readable(next(filter(None, m.groups()))), text)


def is_inside(line: str, at: int) -> bool:
    """Whether this position of a line is within a formula."""
    return _may_have_one(line) and any(m.start() < at < m.end() for m in _INLINE.finditer(line))


def _may_have_one(text: str) -> bool:
    return "$" in text or "\\" in text


def _bare(part: str) -> str:
    return part.strip("{}").strip()


def _wrapped(part: str) -> str:
    return f"({_bare(part)})" if len(_bare(part)) > 1 else _bare(part)


def _grouped(part: str) -> str:
    part = part.strip()
    return part if _SIMPLE.fullmatch(part) else f"({part})"


def _small(text: str, signs: dict[int, int]) -> str:
    """Raised or lowered; empty if one of the characters cannot be."""
    return text.translate(signs) if text and all(ord(one) in signs for one in text) else ""
