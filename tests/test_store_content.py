"""What staff write: every change is stored, and told to all processes by a revision. On every kind of database."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete

from core.database import Database
from core.errors import Conflict, NotFound
from core.live import FACTS, LiveContent
from core.moderation import Word
from core.store import content
from core.store.content import Entry, Imported, WordQuery
from core.store.upsert import insert_if_absent
from core.tables import OptionRow, RevisionRow
from tests import stores
from tests.stores import in_threads, second_process


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


def test_versions_are_paged_and_found_by_their_number(any_database: Database) -> None:
    made = [any_database.write(content.add_prompt, f"第{n}版", "", "", "") for n in range(3)]
    assert [one.id for one in any_database.read(content.prompt_versions, 2)] == made[:0:-1]
    assert [one.id for one in any_database.read(content.prompt_versions, 2, made[1])] == [made[0], 1]
    assert any_database.read(content.prompt_version, made[1]).text == "第1版"
    with pytest.raises(NotFound):
        any_database.read(content.prompt_version, 999)


def test_a_label_that_moved_since_staff_looked_is_not_moved_again(any_database: Database) -> None:
    old, mine, theirs = (
        any_database.write(content.add_prompt, name, "", "", "") for name in ("旧", "我的", "他们的")
    )
    any_database.write(content.publish_prompt, old, ["miniprogram", "official"])
    seen = {"miniprogram": old, "official": old}
    any_database.write(content.publish_prompt, theirs, ["official"], seen)

    def publish() -> None:
        with pytest.raises(Conflict):
            any_database.write(content.publish_prompt, mine, ["miniprogram", "official"], seen)
        with pytest.raises(Conflict):  # a label that was not there when they looked
            any_database.write(content.publish_prompt, mine, ["official"], {})

    assert raised(any_database, publish) == set()
    live = any_database.read(content.live_prompts)
    assert (live["miniprogram"].id, live["official"].id) == (old, theirs)  # not even the one that had not moved
    any_database.write(content.publish_prompt, mine, ["miniprogram"], seen)
    any_database.write(content.publish_prompt, mine, ["new"], seen)
    assert any_database.read(content.live_prompts)["new"].id == mine


def test_of_two_who_publish_at_the_same_moment_one_is_told(any_database: Database) -> None:
    versions = [any_database.write(content.add_prompt, name, "", "", "") for name in "一二"]
    seen = {key: one.id for key, one in any_database.read(content.live_prompts).items()}
    with second_process(any_database) as other:
        results = in_threads(
            *[
                partial(one.write, content.publish_prompt, version, ["miniprogram", "official"], seen)
                for one, version in zip((any_database, other), versions, strict=True)
            ]
        )
    assert sum(isinstance(one, Conflict) for one in results) == 1 and results.count(None) == 1
    winner = versions[results.index(None)]
    assert {one.id for one in any_database.read(content.live_prompts).values()} == {winner}


# ---- Words


def test_words_are_added_changed_and_removed(any_database: Database) -> None:
    def add() -> None:
        new = [Word("赌博", "block"), Word("反暴力", "allow"), Word("暴力", "block")]
        assert any_database.write(stores.set_words, new, "法律", "张三") == 2

    assert raised(any_database, add) == {"words"}
    assert words(any_database) == {"暴力": "block", "仇恨": "mask", "赌博": "block", "反暴力": "allow"}

    def remove() -> None:
        assert any_database.write(stores.remove_words, "暴力", "赌博", "没有的") == 2

    assert raised(any_database, remove) == {"words"}
    assert words(any_database) == {"仇恨": "mask", "反暴力": "allow"}


def test_a_word_given_twice_is_stored_once_as_it_was_given_last(any_database: Database) -> None:
    assert any_database.write(stores.set_words, [Word("赌博", "mask"), Word("赌博", "block")]) == 1
    assert words(any_database)["赌博"] == "block"


def test_words_that_differ_in_case_accent_or_width_are_different(any_database: Database) -> None:
    different = ["abc", "ABC", "äbc", "ａbc", "𠮷", "吉", "👍", "👎"]
    assert any_database.write(stores.set_words, [Word(text, "mask") for text in different]) == len(different)
    assert set(different) < set(words(any_database))
    assert any_database.write(stores.remove_words, "ABC") == 1
    assert "abc" in words(any_database)


def test_thousands_of_words_are_stored_and_removed_at_once(any_database: Database) -> None:
    many = [Word(f"词{number}", "mask") for number in range(2600)]
    assert any_database.write(stores.set_words, many) == 2600
    assert any_database.write(stores.set_words, many) == 0
    assert len(words(any_database)) == 2602
    assert any_database.write(stores.remove_words, *[word.text for word in many]) == 2600
    assert len(words(any_database)) == 2


def texts(database: Database, limit: int = 100, offset: int = 0, **query: Any) -> tuple[list[str], int]:
    rows, total = database.read(content.word_page, WordQuery(**query), limit, offset)
    return [row.text for row in rows], total


def test_words_are_searched_and_paged_those_added_last_first(any_database: Database) -> None:
    given = [Entry("赌博", "block", "法律"), Entry("代开发票", "block", "广告"), Entry("50%OFF_x", "mask", "广告")]
    any_database.write(content.import_words, given, "张三")
    assert texts(any_database) == (["50%OFF_x", "代开发票", "赌博", "仇恨", "暴力"], 5)
    assert texts(any_database, 2, 1) == (["代开发票", "赌博"], 5)
    assert texts(any_database, 2, 10) == ([], 5)
    assert texts(any_database, search="发") == (["代开发票"], 1)
    assert texts(any_database, search="%off_X") == (["50%OFF_x"], 1)
    assert texts(any_database, search="%o_f") == ([], 0)  # no wildcards
    assert texts(any_database, action="block", category="法律") == (["赌博"], 1)
    rows, _ = any_database.read(content.word_page, WordQuery(search="赌"), 1)
    assert (rows[0].author, rows[0].category, rows[0].action) == ("张三", "法律", "block")
    assert texts(any_database, ids=[rows[0].id]) == (["赌博"], 1)
    assert texts(any_database, ids=[]) == ([], 0)
    assert any_database.read(content.word_categories) == sorted(["法律", "广告"], key=str.encode)


def test_an_import_tells_what_is_new_changed_and_there_already(any_database: Database) -> None:
    def add() -> None:
        given = [Entry("暴力", "mask"), Entry("仇恨", "block"), Entry("赌博", "mask", "法律"), Entry("赌博", "block")]
        assert any_database.write(content.import_words, given) == Imported(new=1, changed=1, same=1)

    assert raised(any_database, add) == {"words"}
    assert words(any_database) == {"暴力": "mask", "仇恨": "block", "赌博": "block"}
    any_database.write(content.import_words, [Entry("赌博", "block", "法律")])
    assert any_database.write(content.import_words, [Entry("赌博", "mask")]) == Imported(0, 1, 0)
    assert texts(any_database, category="法律", action="mask") == (["赌博"], 1)  # no category given: it stays


def test_two_imports_of_the_same_words_at_the_same_moment_both_succeed(any_database: Database) -> None:
    many = [Entry(f"词{number}", "mask") for number in range(700)]
    with second_process(any_database) as other:
        results = in_threads(
            *[partial(one.write, content.import_words, many) for one in (any_database, other) for _ in range(2)]
        )
    assert sorted(results) == [Imported(0, 0, 700)] * 3 + [Imported(700, 0, 0)]
    assert len(words(any_database)) == 702


def test_words_that_fit_a_query_are_changed_and_deleted_together(any_database: Database) -> None:
    given = [Entry(f"词{number}", "mask", "导入") for number in range(30)]
    any_database.write(content.import_words, given)
    imported = WordQuery(category="导入")

    def change() -> None:
        assert any_database.write(content.change_words, imported, action="block") == 30

    assert raised(any_database, change) == {"words"}
    assert texts(any_database, 1, action="block", category="导入")[1] == 30
    assert any_database.write(content.change_words, WordQuery(search="词29"), category="别的") == 1
    assert raised(any_database, lambda: any_database.write(content.change_words, imported)) == set()

    def remove() -> None:
        assert any_database.write(content.delete_words, imported) == 29

    assert raised(any_database, remove) == {"words"}
    assert set(words(any_database)) == {"暴力", "仇恨", "词29"}


# ---- Keyword replies


def test_a_reply_is_changed_from_what_staff_have_seen(any_database: Database) -> None:
    number = any_database.write(content.add_keyword_reply, "地址", "exact", "南京路", enabled=False)
    assert any_database.read(content.keyword_replies) == []
    seen = any_database.read(content.keyword_reply_row, number)
    assert any_database.read(content.every_keyword_reply) == [seen]

    def change() -> None:
        any_database.write(content.change_keyword_reply, seen, reply="北京路", enabled=True)

    assert raised(any_database, change) == {"replies"}
    assert [one.reply for one in any_database.read(content.keyword_replies)] == ["北京路"]

    def change_again() -> None:
        with pytest.raises(Conflict):
            any_database.write(content.change_keyword_reply, seen, reply="上海路")

    assert raised(any_database, change_again) == set()
    assert any_database.read(content.keyword_reply_row, number).reply == "北京路"
    any_database.write(content.remove_keyword_reply, number)
    with pytest.raises(NotFound):
        any_database.write(content.change_keyword_reply, seen, reply="上海路")


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


def test_options_are_changed_together_from_what_staff_have_seen(any_database: Database) -> None:
    seen = any_database.read(content.options)
    new = {"welcome": "你好呀", "suggestions": ["一"], "help": "帮助"}
    any_database.write(content.change_options, new, seen)
    assert any_database.read(content.options) == seen | new

    def change() -> None:
        with pytest.raises(Conflict):
            any_database.write(content.change_options, {"help": "别的", "welcome": "别的"}, seen)

    assert raised(any_database, change) == set()
    assert any_database.read(content.options) == seen | new


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
        any_database.write(stores.set_words, [Word("赌博", "mask")])
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
