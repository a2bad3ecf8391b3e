import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ContentBlocked
from core.moderation import FEW_CHANGES, Guard, Hit, Word, WordFilter


def words(mask: str = "", block: str = "", allow: str = "") -> list[Word]:
    lists = {"mask": mask, "block": block, "allow": allow}
    return [Word(text, action) for action, texts in lists.items() for text in texts.split()]  # type: ignore[arg-type]


def masking(mask: str = "", block: str = "", allow: str = "") -> WordFilter:
    return WordFilter(words(mask, block, allow))


def fed(guard: Guard, *pieces: str) -> list[str]:
    return [guard.feed(piece) for piece in pieces]


# ---- What is found


def test_each_masked_word_becomes_two_asterisks() -> None:
    assert masking("暴力 赌博").mask("不要暴力，也不要赌博。") == "不要**，也不要**。"


def test_words_side_by_side_give_two_masks_and_overlapping_words_one() -> None:
    assert masking("暴力 赌博").mask("暴力赌博") == "****"
    assert masking("色情片 情片网").mask("看色情片网吧") == "看**吧"
    assert masking("色情 色情片").mask("看色情片吧") == "看**吧"


def test_a_hit_tells_where_the_word_stands_in_the_original_text() -> None:
    text = "（㎡）暴\u200b - 力！"
    [hit] = masking("暴力").find(text)
    assert hit == Hit("暴力", "mask", 3, 9)
    assert text[hit.start : hit.end] == "暴\u200b - 力"


@pytest.mark.parametrize(
    "written",
    [
        "賭博",
        "赌\u200b博",
        "赌\ufe0f博",
        "赌\xad博",
        "赌\u0301博",
        "赌 博",
        "赌　博",
        "赌 - 博",
        "赌*博",
        "赌·博",
        "赌．博",
    ],
)
def test_a_word_is_found_however_it_is_disguised(written: str) -> None:
    assert masking("赌博").mask(f"去{written}吧") == "去**吧"
    assert WordFilter([Word(written)]).mask("去赌博吧") == "去**吧"


@pytest.mark.parametrize("written", ["ＳＥＸ", "Sex", "𝐬𝐞𝐱", "ⓢⓔⓧ", "s\u200bex"])
def test_full_width_and_fancy_letters_are_letters(written: str) -> None:
    assert masking("sex").mask(f"no {written}!") == "no **!"


def test_a_character_that_stands_for_several_is_masked_whole() -> None:
    assert masking("株").mask("甲㈱乙") == "甲**乙"


@pytest.mark.parametrize("mark", [*"。！？；：，、…\n", "----", "」「", "1"])
def test_sentences_and_long_rules_keep_words_apart(mark: str) -> None:
    text = f"他很暴{mark}力气大"
    assert masking("暴力").mask(text) == text


@pytest.mark.parametrize("mark", ["\n", "\r\n", "：", ":", "—", "——", "–", "、", " — ", "-\n-"])
def test_a_longer_word_is_found_over_what_also_parts_sentences(mark: str) -> None:
    text = f"去参加法轮{mark}功吧，法{mark}轮{mark}功"
    assert masking("法轮功").mask(text) == "去参加**吧，**"
    assert "".join(fed(masking("法轮功").guard(), *text)) == "去参加**吧，**"
    with pytest.raises(ContentBlocked):
        masking(block="法轮功").check(text)


@pytest.mark.parametrize("text", ["方法：轮流来", "换个方法\n轮到我", "有三种办法——轮换", "宪法、轮船", "方法。轮功"])
def test_two_sentences_that_meet_make_no_word(text: str) -> None:
    assert masking("法轮 法轮功").mask(text) == text
    assert "".join(fed(masking("法轮 法轮功").guard(), *text)) == text


def test_a_sentence_s_end_makes_no_word_harmless() -> None:
    assert masking("暴力", allow="反暴力").mask("是正还是反：暴力") == "是正还是反：**"


def test_a_word_that_is_written_with_a_colon_is_found_as_it_is_written() -> None:
    words = WordFilter([Word("买：卖")])
    assert words.mask("先买：卖再说") == "先**再说"


def test_separators_are_skipped_between_chinese_characters_only() -> None:
    assert masking("sex 加v信").mask("s-e-x 加 v信") == "s-e-x 加 v信"
    assert masking("c++ t-shirt").mask("学C++，穿T-shirt") == "学**，穿**"


@pytest.mark.parametrize("text", ["Essex", "sexy", "unisex", "1989640", "avs"])
def test_an_ascii_word_is_not_found_inside_another(text: str) -> None:
    assert masking("sex 64 av").find(text) == []


@pytest.mark.parametrize("text", ["sex", "卖sex片", "sex123", "(sex)", "sex_", "1 64,", "av片"])
def test_an_ascii_word_is_found_between_anything_that_does_not_prolong_it(text: str) -> None:
    assert len(masking("sex 64 av").find(text)) == 1


def test_a_word_with_chinese_in_it_needs_no_boundary() -> None:
    assert masking("加qq").mask("请加QQ12345") == "请**12345"


def test_a_word_is_harmless_inside_an_allowed_phrase() -> None:
    moderation = masking("暴力", allow="反暴力 暴力美学")
    assert moderation.mask("反暴力，暴力美学，暴力") == "反暴力，暴力美学，**"
    assert moderation.mask("反 暴 力") == "反 暴 力"


def test_a_word_that_sticks_out_of_the_allowed_phrase_is_not_harmless() -> None:
    assert masking("暴力片", allow="反暴力").mask("反暴力片") == "反**"


def test_allow_is_stronger_than_block_and_block_than_mask() -> None:
    same = [Word("賭博", "block"), Word("赌博", "mask"), Word(" 赌博 ", "block")]
    assert [hit.action for hit in WordFilter(same).find("赌博")] == ["block"]
    assert WordFilter([*same, Word("赌博", "allow")]).find("赌博") == []


def test_blanks_around_a_word_do_not_belong_to_it() -> None:
    assert WordFilter([Word(" 赌博\n"), Word("\tsex ")]).mask("赌博,sex") == "**,**"


def test_no_words_and_empty_words_find_nothing() -> None:
    for moderation in (WordFilter(), WordFilter([Word(""), Word(" \u200b")])):
        assert moderation.mask("什么都 可以*说") == "什么都 可以*说"
        assert moderation.check("") == []
        assert [*fed(moderation.guard(), "你好", "")] == ["你好", ""]


def test_half_a_surrogate_pair_passes() -> None:
    assert masking("赌博").mask("\ud83d赌博\ude00") == "\ud83d**\ude00"


# ---- Questions


def test_a_blocked_word_refuses_a_question() -> None:
    with pytest.raises(ContentBlocked):
        masking("暴力", block="赌博").check("去哪里賭 博？")


def test_a_masked_word_does_not_refuse_a_question() -> None:
    hits = masking("暴力", block="赌博").check("什么是暴力？")
    assert [hit.word for hit in hits] == ["暴力"]


def test_an_allowed_phrase_saves_a_blocked_word() -> None:
    assert masking(block="赌博", allow="禁止赌博").check("为什么禁止赌博？") == []


# ---- Answers, as they are written


def test_text_that_begins_no_word_is_not_held_back() -> None:
    assert fed(masking("暴力").guard(), "你", "好，", "hello ", "👋") == ["你", "好，", "hello ", "👋"]


def test_only_the_beginning_of_a_word_is_held_back() -> None:
    assert fed(masking("暴力分子").guard(), "他很暴", "力", "分", "明") == ["他很", "", "", "暴力分明"]


def test_a_word_is_held_while_it_may_become_a_longer_one_or_harmless() -> None:
    assert fed(masking("暴力 暴力团").guard(), "暴力", "团", "。") == ["", "**", "。"]
    assert fed(masking("暴力", allow="暴力美学").guard(), "暴力", "美", "学") == ["", "", "暴力美学"]
    assert fed(masking("暴力", allow="反暴力").guard(), "反", "暴", "力") == ["", "", "反暴力"]


def test_an_ascii_word_waits_for_the_next_character() -> None:
    guard = masking("sex").guard()
    assert fed(guard, "Es", "sex ", "sex", "y se", "x", "!") == ["E", "ssex ", "", "sexy ", "", "**!"]


def test_an_ascii_word_remembers_the_letter_before_it() -> None:
    assert fed(masking("sex").guard(), "uni", "sex.", "x", "sex.") == ["uni", "sex.", "x", "sex."]


def test_separators_after_the_beginning_of_a_word_are_held_with_it() -> None:
    assert fed(masking("暴力").guard(), "暴", " ", "-", "力", "暴---", "-") == ["", "", "", "**", "", "暴----"]


def test_flush_gives_what_was_held_back() -> None:
    guard = masking("暴力 sex").guard()
    assert (guard.feed("他很暴"), guard.flush()) == ("他很", "暴")
    guard = masking("暴力 sex").guard()
    assert (guard.feed("卖sex"), guard.flush()) == ("卖", "**")


def test_hits_of_a_stream_count_in_the_whole_answer() -> None:
    guard = masking("暴力 sex").guard()
    fed(guard, "他很", "暴", " 力，", "看se", "x片")
    assert guard.hits == [Hit("暴力", "mask", 2, 5), Hit("sex", "mask", 7, 10)]


def test_a_blocked_word_ends_the_answer_after_the_safe_text_before_it() -> None:
    guard = masking("暴力", block="赌博").guard()
    assert guard.feed("他很暴") == "他很"
    with pytest.raises(ContentBlocked):
        guard.feed("力，也赌 博成瘾")
    assert guard.released == "**，也"
    assert guard.hits == [Hit("暴力", "mask", 2, 4), Hit("赌博", "block", 6, 9)]


def test_after_a_blocked_word_nothing_more_is_released() -> None:
    guard = masking(block="sex", allow="sex教育").guard()
    guard.feed("卖sex")
    with pytest.raises(ContentBlocked):
        guard.flush()
    for _ in range(2):
        with pytest.raises(ContentBlocked):
            guard.feed("教育")
        assert guard.released == ""
    assert len(guard.hits) == 1


def test_of_a_character_that_hides_a_blocked_word_nothing_is_shown() -> None:
    guard = masking("(", block="株").guard()
    with pytest.raises(ContentBlocked):
        guard.feed("甲㈱乙")
    assert guard.released == "甲"


def test_a_blocked_word_at_the_very_end_is_found_by_flush() -> None:
    guard = masking(block="sex").guard()
    assert guard.feed("卖 sex") == "卖 "
    with pytest.raises(ContentBlocked):
        guard.flush()
    assert guard.released == ""


def test_a_word_already_masked_is_not_masked_again() -> None:
    assert fed(masking("力").guard(), "力", "好", "好") == ["**", "好", "好"]


def test_an_allowed_phrase_counts_on_after_its_beginning_was_released() -> None:
    assert fed(masking("力 力量", allow="反暴力").guard(), "反暴力", "。力") == ["反暴", "力。"]


def test_endless_repetition_of_a_word_is_not_collected() -> None:
    guard = masking("哈哈").guard()
    released = [guard.feed("哈") for _ in range(1_000)]
    assert "".join(released) + guard.flush() == "**"
    assert len(guard._held) <= 1


# ---- New words


MANY = [Word(f"词{n}号") for n in range(FEW_CHANGES + 1)]


def test_an_updated_filter_finds_new_words_forgets_old_ones_and_leaves_the_old_filter_alone() -> None:
    old = WordFilter(MANY)
    new = old.updated([*MANY[2:], Word("词1号", "block"), Word("新词")])
    assert [hit.word for hit in new.find("词0号，词1号，词2号，新词")] == ["词1号", "词2号", "新词"]
    assert [hit.word for hit in old.find("词0号，词1号，词2号，新词")] == ["词0号", "词1号", "词2号"]
    with pytest.raises(ContentBlocked):
        new.check("词1号")


def test_a_few_changes_keep_the_big_index_and_many_do_not() -> None:
    old = WordFilter(MANY)
    few = old.updated([*MANY[1:], Word("新词")])
    assert few._indexes[0] is old._indexes[0]
    assert few.updated(MANY)._indexes == old._indexes
    guard = few.guard()
    assert fed(guard, "词1", "号，新", "词") == ["", "**，", "**"]
    many = few.updated([Word(f"语{n}号") for n in range(FEW_CHANGES)])
    assert old._indexes[0] not in many._indexes


def test_a_stream_under_way_keeps_its_words() -> None:
    old = masking("暴力")
    guard = old.guard()
    guard.feed("暴")
    old.updated([])
    assert guard.feed("力") == "**"


# ---- Whatever the words, the text and the pieces

LETTERS = "中国反aB1"
TEXTS = st.text(alphabet=LETTERS + "國ａ *-。：—\n\u200b㈱株㏂…👋", max_size=40)
LISTS = st.lists(
    st.builds(
        Word,
        st.text(alphabet=LETTERS + "國ａ *-。：株(.m", max_size=5),
        st.sampled_from(["mask", "mask", "allow"]),
    ),
    max_size=6,
)


@st.composite
def pieces(draw: st.DrawFn) -> list[str]:
    text = draw(TEXTS)
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=20))
    return [text[a:b] for a, b in pairwise([0, *sorted(cuts), len(text)])]


@settings(max_examples=600, deadline=None)
@given(LISTS, pieces())
def test_a_stream_shows_what_mask_makes_of_the_whole_text(list_: list[Word], parts: list[str]) -> None:
    moderation, text = WordFilter(list_), "".join(parts)
    guard = moderation.guard()
    assert "".join(fed(guard, *parts)) + guard.flush() == moderation.mask(text)
    assert guard.hits == moderation.find(text)


@settings(max_examples=400, deadline=None)
@given(LISTS, st.text(alphabet=LETTERS, min_size=1, max_size=3), pieces())
def test_a_blocked_stream_shows_the_text_before_the_word(list_: list[Word], bad: str, parts: list[str]) -> None:
    moderation, text = WordFilter([*list_, Word(bad, "block")]), "".join(parts)
    hits = moderation.find(text)
    blocked = next((hit for hit in hits if hit.action == "block"), None)
    guard, shown = moderation.guard(), ""
    try:
        for part in parts:
            shown += guard.feed(part)
        shown += guard.flush()
    except ContentBlocked:
        assert blocked
        shown += guard.released
        assert guard.hits[-1] == blocked
        end, before = blocked.start, [hit for hit in hits if hit.start < blocked.start]
    else:
        assert not blocked
        end, before = len(text), hits
    assert shown == by_hand(text[:end], before)


def by_hand(text: str, hits: list[Hit]) -> str:
    """Masked in the plainest way: one mark per group of overlapping hits."""
    groups: list[list[int]] = []
    for hit in hits:
        if groups and hit.start < groups[-1][1]:
            groups[-1][1] = max(groups[-1][1], hit.end)
        else:
            groups.append([hit.start, hit.end])
    for start, end in reversed(groups):
        text = text[:start] + "**" + text[end:]
    return text


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.text(alphabet="中国a1", min_size=1, max_size=4), min_size=1, max_size=5, unique=True),
    st.text(alphabet="中国國aA1 *。\u200b", max_size=30),
)
def test_find_agrees_with_a_regular_expression(list_: list[str], text: str) -> None:
    expected = set()
    for word in list_:
        for start in range(len(text)):
            for end in range(start + 1, len(text) + 1):
                if re.fullmatch(as_pattern(word), text[start:end]) and not prolonged(word, text, start, end):
                    expected.add((word, start, end))
    assert {(hit.word, hit.start, hit.end) for hit in WordFilter(map(Word, list_)).find(text)} == expected


def as_pattern(word: str) -> str:
    """The word, with what may stand between its characters."""
    pattern = ""
    for left, right in pairwise([*word, ""]):
        pattern += {"国": "[国國]", "a": "[aA]"}.get(left, left)
        chinese = left in "中国" and right and right in "中国"
        pattern += "(?:\u200b*[ *]){0,3}\u200b*" if chinese else "\u200b*" if right else ""
    return pattern


def prolonged(word: str, text: str, start: int, end: int) -> bool:
    before, after = text[:start].replace("\u200b", "")[-1:], text[end:].replace("\u200b", "")[:1]
    sides = [before + word[0], word[-1] + after]
    return word.isascii() and any(re.fullmatch("[aA]{2}|1{2}", side) for side in sides)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet="中国反", min_size=1, max_size=5), max_size=6), st.text("中国反好", max_size=30))
def test_what_is_held_back_is_always_the_beginning_of_a_word(list_: list[str], text: str) -> None:
    guard = WordFilter(map(Word, list_)).guard()
    for character in text:
        guard.feed(character)
        held = guard._held
        assert not held or any(word.startswith(held) and word != held for word in list_)


@settings(max_examples=60, deadline=None)
@given(LISTS, LISTS, pieces())
def test_an_updated_filter_is_as_good_as_a_new_one(old: list[Word], new: list[Word], parts: list[str]) -> None:
    updated, text = BIG.updated([*MANY, *old]).updated([*MANY, *new]), "".join(parts)
    assert updated.find(text) == WordFilter([*MANY, *new]).find(text)
    guard = updated.guard()
    assert "".join(fed(guard, *parts)) + guard.flush() == updated.mask(text)


BIG = WordFilter(MANY)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.data())
def test_any_text_at_all_comes_through_a_stream_unharmed(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    guard = masking("暴力", allow="反暴力").guard()
    assert guard.feed(text[:at]) + guard.feed(text[at:]) + guard.flush() == text
