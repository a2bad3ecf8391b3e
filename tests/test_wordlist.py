"""Lists of words as staff have them, in the files that programs in China write."""

import pytest

from core import wordlist
from core.store.content import Entry
from core.wordlist import Skipped


def read(text: str) -> list[tuple[str, str, str | None]]:
    told = wordlist.read(text, "mask", "导入")
    assert told.skipped == []
    return [tuple(entry) for entry in told.entries]  # type: ignore[misc]


def test_a_line_is_a_word_with_an_action_and_a_category_if_they_like() -> None:
    assert read("赌博\n\n 代开发票 ,拦截,法律\n反暴力\t放行\t法律\nABC,,广告\r\nfoo,BLOCK") == [
        ("赌博", "mask", "导入"),
        ("代开发票", "block", "法律"),
        ("反暴力", "allow", "法律"),
        ("ABC", "mask", "广告"),
        ("foo", "block", "导入"),
    ]


def test_a_first_line_that_names_the_columns_is_no_word() -> None:
    assert read("词,动作,类别\n赌博,拦截,法律") == [("赌博", "block", "法律")]
    assert read("赌博\n词") == [("赌博", "mask", "导入"), ("词", "mask", "导入")]


def test_a_chinese_comma_separates_only_where_an_action_follows() -> None:
    assert read("赌博，拦截，法律\n你好，世界\n看，赌博，拦截") == [
        ("赌博", "block", "法律"),
        ("你好，世界", "mask", "导入"),
        ("看，赌博，拦截", "mask", "导入"),
    ]


def test_quoted_columns_may_have_commas() -> None:
    assert read('"a,b",拦截') == [("a,b", "block", "导入")]


def test_what_is_no_word_is_told_with_its_line_and_why() -> None:
    text = f"赌博\n\u200b\u200d\n{'长' * 101}\n打架,打人\n賭博\n好,拦截,{'类' * 33}\n{'x' * 2_000_000}"
    told = wordlist.read(text, "mask")
    assert told.entries == [Entry("赌博", "mask", None)]
    assert [(one.line, one.why) for one in told.skipped] == [
        (2, "没有可见的字"),
        (3, "超过 100 个字"),
        (4, "第二列“打人”不是打码、拦截或放行"),
        (5, "和第 1 行重复"),
        (6, "类别超过 32 个字"),
        (7, "超过 100 个字"),
    ]
    assert told.skipped[3] == Skipped(5, "賭博", "和第 1 行重复")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
def test_a_file_is_read_whatever_program_wrote_it(encoding: str) -> None:
    text = "赌博,拦截\r\n代开发票"
    assert wordlist.decoded(text.encode(encoding)) == text


@pytest.mark.parametrize("data", [b"PK\x03\x04\0\0\0", b"\xff\xff\xff", b"\x89PNG\r\n\x1a\n\0"])
def test_a_file_that_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        wordlist.decoded(data)
