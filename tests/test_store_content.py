"""What staff write: every change is stored, and told to all processes by a revision. On every kind of database."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete

from core.database import Database
from core.errors import NotFound
from core.live import FACTS, LiveContent
from core.moderation import Word
from core.store import content
from core.store.upsert import insert_if_absent
from core.tables import OptionRow, RevisionRow
from tests.stores import second_process


def raised(database: Database, work: Callable[[], Any]) -> set[str]:
    """Names of the revisions that have grown by one while this was done (and none in another way)."""
    before = database.read(content.revisions)
    work()
    after = database.read(content.revisions)
    grown = {name for name in after if after[name] != before.get(name, 0)}
    assert all(after[name] == before.get(name, 0) + 1 for name in grown)
    return grown


def words(database: Database) -> dict[str, str]:
    return {word.text: word.action for word in database.read(content.words)}


# ---- Prompts


def test_a_prompt_is_live_nowhere_before_it_is_published(any_database: Database) -> None:
    before = {key: one.id for key, one in any_database.read(content.live_prompts).items()}
    version = 0

    def add() -> None:
        nonlocal version
        version = any_database.write(content.add_prompt, "你是客服 👍", "营业到 22 点", "更礼貌", "张三")

    assert raised(any_database, add) == set()
    assert {key: one.id for key, one in any_database.read(content.live_prompts).items()} == before

    def publish(*channels: str) -> None:
        any_database.write(content.publish_prompt, version, channels)

    assert raised(any_database, lambda: publish("official")) == {"prompts"}
    live = any_database.read(content.live_prompts)
    assert live["official"].id == version and live["miniprogram"].id == before["miniprogram"]
    assert (live["official"].text, live["official"].facts) == ("你是客服 👍", "营业到 22 点")
    publish("miniprogram", "another")
    assert {one.id for one in any_database.read(content.live_prompts).values()} == {version}
    publish("miniprogram")  # again
    assert len(any_database.read(content.live_prompts)) == 3


def test_versions_grow_and_are_listed_newest_first(any_database: Database) -> None:
    made = [any_database.write(content.add_prompt, f"第{n}版", "", "", "") for n in range(3)]
    listed = any_database.read(content.prompt_versions)
    assert [one.id for one in listed[:3]] == made[::-1] == sorted(made, reverse=True)
    assert len(listed) == 4


def test_a_version_that_does_not_exist_cannot_be_published(any_database: Database) -> None:
    def publish() -> None:
        with pytest.raises(NotFound):
            any_database.write(content.publish_prompt, 999, ["official"])

    assert raised(any_database, publish) == set()


# ---- Words


def test_words_are_added_changed_and_removed(any_database: Database) -> None:
    def add() -> None:
        new = [Word("赌博", "block"), Word("反暴力", "allow"), Word("暴力", "block")]
        assert any_database.write(content.set_words, new, "法律", "张三") == 2

    assert raised(any_database, add) == {"words"}
    assert words(any_database) == {"暴力": "block", "仇恨": "mask", "赌博": "block", "反暴力": "allow"}

    def remove() -> None:
        assert any_database.write(content.remove_words, ["暴力", "赌博", "没有的"]) == 2

    assert raised(any_database, remove) == {"words"}
    assert words(any_database) == {"仇恨": "mask", "反暴力": "allow"}


def test_a_word_given_twice_is_stored_once_as_it_was_given_last(any_database: Database) -> None:
    assert any_database.write(content.set_words, [Word("赌博", "mask"), Word("赌博", "block")]) == 1
    assert words(any_database)["赌博"] == "block"


def test_words_that_differ_in_case_accent_or_width_are_different(any_database: Database) -> None:
    different = ["abc", "ABC", "äbc", "ａbc", "𠮷", "吉", "👍", "👎"]
    assert any_database.write(content.set_words, [Word(text, "mask") for text in different]) == len(different)
    assert set(different) < set(words(any_database))
    assert any_database.write(content.remove_words, ["ABC"]) == 1
    assert "abc" in words(any_database)


def test_thousands_of_words_are_stored_and_removed_at_once(any_database: Database) -> None:
    many = [Word(f"词{number}", "mask") for number in range(2600)]
    assert any_database.write(content.set_words, many) == 2600
    assert any_database.write(content.set_words, many) == 0
    assert len(words(any_database)) == 2602
    assert any_database.write(content.remove_words, [word.text for word in many]) == 2600
    assert len(words(any_database)) == 2


# ---- Keyword replies


def test_keyword_replies_come_in_the_order_they_are_tried(any_database: Database) -> None:
    ids: list[int] = []

    def add() -> None:
        ids.append(any_database.write(content.add_keyword_reply, "地址", "contains", "长" * 70_000, 1, "张三"))

    assert raised(any_database, add) == {"replies"}
    ids.append(any_database.write(content.add_keyword_reply, "营业", "exact", "22 点 👍", 5))
    ids.append(any_database.write(content.add_keyword_reply, "营业时间", "exact", "同样", 5))
    replies = any_database.read(content.keyword_replies)
    assert [one.id for one in replies] == [ids[1], ids[2], ids[0]]
    assert (replies[0].keyword, replies[0].match, replies[0].reply) == ("营业", "exact", "22 点 👍")
    assert len(replies[2].reply) == 70_000
    assert raised(any_database, lambda: any_database.write(content.remove_keyword_reply, ids[1])) == {"replies"}
    assert [one.id for one in any_database.read(content.keyword_replies)] == [ids[2], ids[0]]


# ---- Options


@pytest.mark.parametrize(
    "value", ["欢迎 👍", "", ["一", "二"], {"a": {"b": [1, 2.5, None, True]}}, None, 0, "长" * 70_000]
)
def test_an_option_is_whatever_json_can_hold(any_database: Database, value: Any) -> None:
    assert raised(any_database, lambda: any_database.write(content.set_option, "new", value)) == {"options"}
    assert any_database.read(content.options)["new"] == value


def test_an_option_is_replaced_and_the_others_stay(any_database: Database) -> None:
    before = any_database.read(content.options)
    any_database.write(content.set_option, "welcome", "新的欢迎词")
    any_database.write(content.set_option, "welcome", "新的欢迎词")  # MySQL: found, though nothing changes
    assert any_database.read(content.options) == before | {"welcome": "新的欢迎词"}


# ---- Revisions, and what the processes make of them


def test_a_revision_that_is_not_there_yet_is_begun(any_database: Database) -> None:
    any_database.write(lambda connection: connection.execute(delete(RevisionRow)))
    any_database.write(content.set_option, "new", 1)
    assert any_database.read(content.revisions) == {"options": 1}
    any_database.write(content.set_option, "new", 2)
    assert any_database.read(content.revisions) == {"options": 2}


def test_a_change_that_is_rolled_back_raises_no_revision(any_database: Database) -> None:
    def fail(connection: Any) -> None:
        content.set_option(connection, "new", 1)
        raise ZeroDivisionError

    def attempt() -> None:
        with pytest.raises(ZeroDivisionError):
            any_database.write(fail)

    assert raised(any_database, attempt) == set()


def test_what_one_process_changes_is_live_in_another_at_its_next_look(any_database: Database) -> None:
    with second_process(any_database) as other:
        live = LiveContent(other)
        live.refresh()
        assert live.prompt("official").text.startswith("你是这个微信账号的 AI 助手")
        assert live.words.mask("暴力和赌博") == "**和赌博"

        version = any_database.write(content.add_prompt, "新提示词", "营业到 22 点", "", "")
        any_database.write(content.publish_prompt, version, ["official"])
        any_database.write(content.set_words, [Word("赌博", "mask")])
        any_database.write(content.add_keyword_reply, "地址", "exact", "南京路 1 号")
        any_database.write(content.set_option, "welcome", "你好呀")
        live.refresh()
    assert (live.prompt("official").version, live.prompt("official").text) == (
        version,
        f"新提示词{FACTS}营业到 22 点",
    )
    assert live.prompt("miniprogram").text.startswith("你是这个微信账号的 AI 助手")
    assert live.prompt("unknown") == live.prompt("miniprogram")
    assert live.words.mask("暴力和赌博") == "**和**"
    assert [one.reply for one in live.replies] == ["南京路 1 号"]
    assert live.options["welcome"] == "你好呀"


def test_nothing_is_read_again_that_has_not_moved(database: Database) -> None:
    live = LiveContent(database)
    live.refresh()
    before = (live.words, live.prompts, live.options)
    live.refresh()
    assert all(now is then for now, then in zip((live.words, live.prompts, live.options), before, strict=True))
    database.write(content.set_option, "welcome", "你好呀")
    live.refresh()
    assert live.words is before[0] and live.options is not before[2]


# ---- The one statement each database spells in its own way


def test_a_row_is_inserted_only_where_its_key_is_free(any_database: Database) -> None:
    def insert(name: str, value: str) -> bool:
        return any_database.write(insert_if_absent, OptionRow, name=name, value=value)

    assert insert("new", "1")
    assert not insert("new", "2")
    assert insert("NEW", "3")
    assert any_database.read(content.options)["new"] == 1


def test_a_key_that_is_taken_leaves_the_rest_of_the_transaction_as_it_was(any_database: Database) -> None:
    def work(connection: Any) -> list[bool]:
        return [insert_if_absent(connection, OptionRow, name=name, value="1") for name in ("one", "one", "two")]

    assert any_database.write(work) == [True, False, True]
    assert {"one", "two"} < set(any_database.read(content.options))
