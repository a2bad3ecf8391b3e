"""How an answer reads in a chat bubble: Markdown and formulas as plain text, cut into pieces that fit a message."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wechat.formulas import readable
from wechat.pieces import cut, size
from wechat.plain import plain

SAMPLES = {
    "# 标题\n\n**粗**与*斜*，`代码`，~~删~~": "标题\n\n粗与斜，代码，删",
    "- 一\n  - 二\n1. 三\n- [x] 四\n- [ ] 五": "• 一\n  • 二\n1. 三\n☑ 四\n☐ 五",
    "> 引用\n\n---\n完": "▎引用\n\n————————\n完",
    "见[官网](https://a.cn)和<https://b.cn>": "见官网（https://a.cn）和https://b.cn",
    "```python\nx = a ** b  # **x**\n```\n后": "x = a ** b  # **x**\n后",
    "| 项目 | 价格 | 备注 |\n|---|--:|---|\n| 门票 | 60 元 | 旺季 |\n| 导游 | 300 元 | |": (
        "• 门票：价格 60 元，备注 旺季\n• 导游：价格 300 元"
    ),
    "| 城市 | 天气 |\n|---|---|\n| 北京 | **晴** |": "• 北京：晴",
    "a_b_c 和 2 * 3 * 4，<script>": "a_b_c 和 2 * 3 * 4，<script>",
    '<a href="https://a.cn">点我</a>，<a onclick="x">': '点我（https://a.cn），＜a onclick="x">',
    "上一行\\\n下一行": "上一行\n下一行",
    "能量 $E=mc^2$，根是 \\(x = \\frac{-b \\pm \\sqrt{b^2-4ac}}{2a}\\)。": (
        "能量 E=mc²，根是 x = (-b ± √(b²-4ac))/(2a)。"
    ),
    "$$\n\\begin{aligned}\na &= b \\\\\nc_1 &\\leq \\infty\n\\end{aligned}\n$$\n完": "a = b\nc₁ ≤ ∞\n完",
    "\\[ \\sum_{i=1}^{n} i \\]\n**完**": "∑_(i=1)ⁿ i\n完",
    "\\[\na^2\n\\]\n**完**": "a²\n完",
    "$5 到 $10，或 $5和$10": "$5 到 $10，或 $5和$10",
    "$$ 没有写完\n\n**照旧**": "没有写完\n\n照旧",
}


@pytest.mark.parametrize("markdown", SAMPLES)
def test_markdown_reads_well(markdown):
    assert plain(markdown) == SAMPLES[markdown]


def test_formulas_read_as_in_the_mini_program():
    assert readable(r"\sqrt[3]{8} = 2, \text{面积} = \pi r^{2}, x^{ab}") == "³√8 = 2, 面积 = π r², x^(ab)"


@pytest.mark.parametrize("odd", ["\\(", "$", "$$", "\\[", "\\frac{", "{", "**", "[", "`", "|", "<a ", "$a"])
def test_whatever_is_repeated_takes_no_time(odd):
    began = time.perf_counter()
    plain(odd * 5000)
    cut(odd * 5000, 0, 1800, final=True)
    assert time.perf_counter() - began < 1.5


TABLE, CODE, LINK = "\n| a | b |\n|---|---|\n| 1 | 2 |\n", "```\n码。\n```\n", "[链。接](https://a.cn)"
TEXT = ["你好。", "一句话，没有完", "\n", "\n\n", "- 项\n", "1. 一\n", "**粗**", "😀", "<", "]]>"]
WORDS = st.sampled_from([TABLE, CODE, LINK, "`a。b`", "$x^2。$", "\\(", "$$\n", *TEXT])


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=80).map("".join), st.integers(60, 600))
def test_pieces_fit_and_nothing_is_lost(raw, room):
    """Spaces and line ends may fall between pieces, words may not."""
    start, pieces = 0, []
    while start < len(raw):
        piece = cut(raw, start, room, final=True)
        assert piece.end > start and size(piece.text) <= room
        pieces.append(piece.text)
        start = piece.end
    assert sum(text.count("你好") for text in pieces) == raw.count("你好")
    assert sum(text.count("😀") for text in pieces) == raw.count("😀")
