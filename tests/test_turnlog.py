"""The log as staff read it: found by anything, on every database, indexed or not yet."""

import itertools
import random
from typing import Any

import pytest
from sqlalchemy import insert, select

from core import indexing
from core.database import Database
from core.errors import NotFound
from core.indexing import Indexer
from core.settings import Settings
from core.store import complaints, erasure, grams, ratings, retention, reviews, search, turnindex, turnlog, turns
from core.store.turnlog import Filter
from core.tables import DeliveryRow, TurnMarkRow, TurnRow, id_at, new_id, now_ms, time_of
from tests import stores
from tests.stores import ask, end, make_user, row

DAY = 86_400_000
ZONE = "Asia/Shanghai"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns may be entered as soon as they are asked, and only a few are looked at without the index."""
    monkeypatch.setattr(turnindex, "LATE_MS", -60_000)
    monkeypatch.setattr(stores, "IDS", itertools.count(new_id(), 1 << 28))  # asked some time after each other
    monkeypatch.setattr(search, "NEWEST", 3)
    monkeypatch.setattr(search, "CHUNK", 4)
    monkeypatch.setattr(indexing, "LEASE_MS", 0)
    monkeypatch.setattr(indexing, "PAUSE_SECONDS", 0)


@pytest.fixture
def indexer(any_database: Database) -> Indexer:
    return Indexer(any_database, Settings(_env_file=None))  # type: ignore[call-arg]


def log(database: Database, wanted: Filter, limit: int = 50, before: int | None = None) -> list[str]:
    """The questions on a page."""
    return [line.question for line in database.read(turnlog.page, wanted, limit, before)]


def said(database: Database, question: str, answer: str = "好的。", user: int | None = None, **more: Any) -> Any:
    turn = ask(database, user or make_user(database), question, writer=1)
    end(database, turn, answer, **more)
    return turn


def pad(database: Database, count: int = 12) -> None:
    """Newer turns about nothing, so that older ones are beyond those that are simply looked at."""
    user = make_user(database)
    for number in range(count):
        said(database, f"无关{number}", "嗯", user)


def test_words_are_found_anywhere_in_question_or_answer(any_database: Database, indexer: Indexer) -> None:
    said(any_database, "我要退款", "请提供订单号 A-17")
    said(any_database, "运费怎么算", "满 99 元包邮，退货运费自理")
    said(any_database, "Cogito是什么", "一个模型😀")
    pad(any_database)
    expected = {
        "退": ["运费怎么算", "我要退款"],
        "退款": ["我要退款"],
        "款": ["我要退款"],  # the last character
        "运费 退货": ["运费怎么算"],
        "退 订单号": ["我要退款"],
        "款请": [],  # not across question and answer
        "COGITO": ["Cogito是什么"],
        "cogito是": ["Cogito是什么"],
        "😀": ["Cogito是什么"],
        "a-17": ["我要退款"],
        "99": ["运费怎么算"],
        "%": [],
        "_": [],
        "运_": [],
        "满 99 元包邮": ["运费怎么算"],
        "包邮，退货运费自理": ["运费怎么算"],
        "没有的词": [],
        "无关3": ["无关3"],
    }
    assert indexer.look()
    assert {words: log(any_database, Filter(text=words)) for words in expected} == expected


def test_what_is_not_indexed_yet_is_found_as_well(any_database: Database, indexer: Indexer) -> None:
    old = said(any_database, "旧的苹果")
    assert indexer.look()
    pad(any_database)
    said(any_database, "新的苹果")
    pad(any_database)
    assert log(any_database, Filter(text="苹果")) == ["新的苹果", "旧的苹果"]
    assert indexer.look()
    assert log(any_database, Filter(text="苹果")) == ["新的苹果", "旧的苹果"]
    assert log(any_database, Filter(text="苹果"), 1) == ["新的苹果"]
    assert log(any_database, Filter(text="苹果"), 1, old.id + 1) == ["旧的苹果"]
    assert log(any_database, Filter(text="苹果"), 1, old.id) == []


def test_a_turn_that_was_open_when_its_neighbours_were_indexed_is_indexed_later(
    any_database: Database, indexer: Indexer
) -> None:
    slow = ask(any_database, make_user(any_database), "很慢的香蕉", writer=1)
    pad(any_database)
    assert indexer.look()
    end(any_database, slow, "终于写完的葡萄")
    assert log(any_database, Filter(text="香蕉")) == []
    assert indexer.look()
    assert log(any_database, Filter(text="香蕉")) == ["很慢的香蕉"]
    assert log(any_database, Filter(text="葡萄", status="done")) == ["很慢的香蕉"]
    left = select(TurnMarkRow).where(TurnMarkRow.mark == "open")
    assert any_database.read(lambda c: c.execute(left).all()) == []


def test_every_filter_and_flag_finds_its_turns(any_database: Database, indexer: Indexer) -> None:
    user = make_user(any_database, "openid-zhang", unionid="union-zhang")
    hits = [{"word": "暴力", "action": "mask", "start": 0, "end": 2, "in": "question"}]
    made = {
        "done": said(any_database, "普通", user=user, prompt_version=3, first_token_ms=100, duration_ms=900),
        "masked": said(any_database, "遮盖", hits=hits, duration_ms=7000),
        "failed": said(any_database, "失败", status="failed", code="model_error", prompt_version=4),
        "blocked": said(any_database, "屏蔽", status="blocked", code="content_blocked", duration_ms=61_000),
        "disliked": said(any_database, "不喜欢", user=user),
        "reported": said(any_database, "投诉"),
        "partial": said(any_database, "还没看完"),
        "uncollected": said(any_database, "没来看"),
        "noted": said(any_database, "有备注"),
    }

    def rate(connection: Any) -> None:
        ratings.rate(connection, row(any_database, made["disliked"]), "down", "不对", ZONE)

    any_database.write(rate)
    reported = row(any_database, made["reported"])
    any_database.write(complaints.report, reported.user_id, reported, "不实", channel="miniprogram", timezone=ZONE)
    deliver(any_database, made["partial"].id, "rest", now_ms())
    deliver(any_database, made["uncollected"].id, "rest", now_ms() - 2 * DAY)
    any_database.write(reviews.annotate, made["noted"].id, "小王", note="好", score=5, better_answer="更好")
    pad(any_database)
    expected = {
        "openid": (Filter(user="openid-zhang"), ["不喜欢", "普通"]),
        "its beginning": (Filter(user="openid-zh"), ["不喜欢", "普通"]),
        "unionid": (Filter(user="union-zhang"), ["不喜欢", "普通"]),
        "number": (Filter(user=str(user)), ["不喜欢", "普通"]),
        "nobody": (Filter(user="openid-li"), []),
        "version": (Filter(prompt_version=3), ["普通"]),
        "status": (Filter(status="failed"), ["失败"]),
        "slow": (Filter(slow_ms=6500), ["屏蔽", "遮盖"]),
        "slower": (Filter(slow_ms=60_000), ["屏蔽"]),
        "first token": (Filter(first_token_ms=50), ["普通"]),
        "masked": (Filter(flags={"masked"}), ["遮盖"]),
        "failed": (Filter(flags={"failed"}), ["失败"]),
        "blocked": (Filter(flags={"blocked"}), ["屏蔽"]),
        "disliked": (Filter(flags={"disliked"}), ["不喜欢"]),
        "liked": (Filter(flags={"liked"}), []),
        "reported": (Filter(flags={"reported"}), ["投诉"]),
        "partial": (Filter(flags={"partial"}), ["没来看", "还没看完"]),
        "uncollected": (Filter(flags={"uncollected"}), ["没来看"]),
        "noted": (Filter(flags={"noted"}), ["有备注"]),
        "several": (Filter(user="openid-zhang", flags={"disliked"}, text="喜欢"), ["不喜欢"]),
        "none of both": (Filter(flags={"disliked", "noted"}), []),
        "channel": (Filter(channel="official"), []),
        "open": (Filter(status="answering"), []),
    }
    assert indexer.look()
    told = {name: log(any_database, wanted) for name, (wanted, _) in expected.items()}
    assert told == {name: questions for name, (_, questions) in expected.items()}
    flags = {line.question: line.flags for line in any_database.read(turnlog.page, Filter(), 50)}
    assert {name: set(flags[made[name].question]) for name in made} == {
        name: {name} if name not in ("done", "uncollected") else set() if name == "done" else {"partial", name}
        for name in made
    }


def deliver(database: Database, turn_id: int, state: str, when: int) -> None:
    values = {
        "appid": "wx",
        "key": str(turn_id),
        "openid": "o",
        "turn_id": turn_id,
        "state": state,
        "created_at": when,
    }
    database.write(lambda c: c.execute(insert(DeliveryRow).values(id=id_at(when) + turn_id % 4096, **values)))


# Staying in step


def indexed(database: Database, word: str) -> list[int]:
    """The turns that the index of texts itself names."""
    return database.read(grams.find, grams.searched(word), 0, id_at(now_ms() + DAY), 100)[0]


def marked(database: Database, turn_id: int) -> set[str]:
    query = select(TurnMarkRow.mark).where(TurnMarkRow.turn_id == turn_id)
    return set(database.read(lambda c: c.execute(query).scalars().all()))


def test_the_erased_leave_the_index_and_their_neighbours_stay(any_database: Database, indexer: Indexer) -> None:
    user = make_user(any_database)
    hits = [{"word": "x", "action": "mask", "start": 0, "end": 1, "in": "question"}]
    theirs = [said(any_database, f"西瓜{number}", "西瓜很甜", user, hits=hits) for number in range(3)]
    other = said(any_database, "西瓜呢", "西瓜很甜")
    any_database.write(reviews.annotate, theirs[0].id, "小王", note="西瓜", score=1, better_answer="哈密瓜")
    assert indexer.look()
    assert indexed(any_database, "西瓜") == [other.id, *(turn.id for turn in reversed(theirs))]
    assert any_database.write(erasure.empty_some, user) == 3
    any_database.write(erasure.erase, user)
    assert indexed(any_database, "西瓜") == indexed(any_database, "西") == [other.id]
    assert log(any_database, Filter(text="西瓜")) == ["西瓜呢"]
    assert marked(any_database, theirs[0].id) == {"c:miniprogram", "s:done"}
    assert row(any_database, theirs[0]).better_answer is None
    with pytest.raises(NotFound):
        any_database.write(reviews.annotate, theirs[0].id, "小王", note="西瓜", score=None, better_answer=None)


def test_turns_of_the_same_moment_are_taken_out_one_by_one(
    any_database: Database, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "IDS", itertools.count(new_id() >> 22 << 22))
    first, second, third = (said(any_database, f"荔枝{number}", "荔枝很甜") for number in range(3))
    pad(any_database)
    assert indexer.look()
    any_database.write(erasure.erase, first.user_id)
    pad(any_database)
    assert log(any_database, Filter(text="荔枝")) == ["荔枝2", "荔枝1"]
    assert log(any_database, Filter(text="荔枝0")) == []
    any_database.write(erasure.erase, third.user_id)
    assert log(any_database, Filter(text="荔枝")) == ["荔枝1"]
    any_database.write(erasure.erase, second.user_id)
    assert indexed(any_database, "荔枝") == indexed(any_database, "荔") == []


def test_erasing_what_is_not_indexed_yet_leaves_nothing_either(any_database: Database, indexer: Indexer) -> None:
    user = make_user(any_database)
    turn = said(any_database, "柠檬", user=user)
    running = ask(any_database, user, "正在问柠檬", writer=1)
    piece = any_database.read(turnindex.next_slice, 100)  # read, and erased before it is entered
    any_database.write(erasure.erase, user)
    assert any_database.write(turnindex.enter, piece, ZONE)
    assert indexer.look()
    assert indexed(any_database, "柠檬") == []
    assert marked(any_database, turn.id) == {"c:miniprogram", "s:done"}
    assert marked(any_database, running.id) == {"c:miniprogram", "s:stopped"}


def test_what_is_cleared_with_age_leaves_the_index(any_database: Database, indexer: Indexer) -> None:
    old = [said(any_database, f"芒果{number}", duration_ms=7000) for number in range(3)]
    rated = row(any_database, old[0])
    any_database.write(lambda c: ratings.rate(c, rated, "down", None, ZONE))
    assert indexer.look()
    any_database.write(erasure.erase, old[1].user_id)
    values = {"channel": "miniprogram", "options": "{}", "status": "done", "reasoning": "", "created_at": now_ms()}
    young = id_at(now_ms() + 20_000)
    texts = {"question": "芒果还在", "answer": "嗯"}
    any_database.write(lambda c: c.execute(insert(TurnRow).values(id=young, **texts, **values)))
    assert indexer.look()
    assert indexed(any_database, "芒果") == [young, old[2].id, old[0].id]
    steps = dict(retention.of_content(now_ms() + 10_000))
    assert any_database.write(steps["turns"]) == 3
    assert indexed(any_database, "芒果") == [young]
    left = any_database.read(lambda c: set(c.execute(select(TurnMarkRow.turn_id)).scalars()))
    assert left == {young}


def test_two_consoles_enter_a_turn_once(any_database: Database) -> None:
    turn = said(any_database, "一次就好")
    first, second = (any_database.read(turnindex.next_slice, 10) for _ in range(2))
    assert any_database.write(turnindex.enter, first, ZONE)
    assert not any_database.write(turnindex.enter, second, ZONE)
    assert indexed(any_database, "一次") == [turn.id]


def test_a_page_is_the_same_with_the_index_as_without(any_database: Database, indexer: Indexer) -> None:
    """Random turns and filters, compared with the plain truth."""
    chance = random.Random(7)
    users_ = [make_user(any_database, f"o{number}") for number in range(3)]
    for _ in range(150):
        text = "".join(chance.choices("的了一是甲乙丙", k=chance.randint(1, 6)))
        status = chance.choice(("done", "done", "done", "failed", "blocked"))
        more = {"prompt_version": chance.randint(1, 3), "duration_ms": chance.choice((900, 7000, 30_000))}
        answer = "".join(chance.choices("的丁戊", k=4))
        turn = said(any_database, text, answer, chance.choice(users_), status=status, **more)
        if chance.random() < 0.3:
            any_database.write(lambda c, turn=turn: ratings.rate(c, row_of(c, turn), "down", None, ZONE))
    assert indexer.look()
    for _ in range(60):
        wanted = Filter(
            text=" ".join(chance.choices(("的", "了一", "甲", "丁戊", "是的"), k=chance.randint(0, 2))),
            user=chance.choice(("", "", "o1")),
            prompt_version=chance.choice((None, None, 2)),
            status=chance.choice((None, None, "done", "failed")),
            slow_ms=chance.choice((None, None, 6000)),
            flags=frozenset(chance.choice(((), (), ("disliked",), ("blocked",)))),
        )
        pages, before = [], None
        while lines := any_database.read(turnlog.page, wanted, 7, before):
            pages += [line.id for line in lines]
            before = lines[-1].id
        assert pages == truth(any_database, wanted, users_[1]), wanted


def row_of(connection: Any, turn: Any) -> Any:
    return turns.get(connection, turn.id)


def truth(database: Database, wanted: Filter, user: int) -> list[int]:
    query = select(TurnRow.__table__).order_by(TurnRow.id.desc())

    def fits(turn: Any) -> bool:
        return (
            all(word in turn.question or word in turn.answer for word in wanted.text.split())
            and (not wanted.user or turn.user_id == user)
            and wanted.prompt_version in (None, turn.prompt_version)
            and wanted.status in (None, turn.status)
            and (wanted.slow_ms or 0) <= turn.duration_ms
            and ("disliked" not in wanted.flags or turn.rating == "down")
            and ("blocked" not in wanted.flags or turn.status == "blocked")
        )

    return [turn.id for turn in database.read(lambda c: c.execute(query).all()) if fits(turn)]


# Time


def test_a_stretch_of_time_is_searched(any_database: Database, indexer: Indexer) -> None:
    first = said(any_database, "早一点的桃子")
    pad(any_database)
    second = said(any_database, "晚一点的桃子")
    assert indexer.look()
    apart = Filter(text="桃子", since=time_of(second.id))
    assert time_of(first.id) <= time_of(second.id)
    assert log(any_database, apart)[0] == "晚一点的桃子"
    assert log(any_database, Filter(text="桃子", since=now_ms() + DAY)) == []
    assert log(any_database, Filter(text="桃子", until=now_ms() - DAY)) == []


# One turn


def test_a_transcript_has_everything_around_a_turn(any_database: Database) -> None:
    user = make_user(any_database, "openid-wang", unionid="union-wang")
    first = ask(any_database, user, "第一句", writer=1, new_conversation=True)
    end(any_database, first)
    talk = first.conversation_id
    rest = []
    for number in range(2, 5):
        rest.append(ask(any_database, user, f"第{number}句", writer=1, conversation=talk))
        end(any_database, rest[-1])
    deliver(any_database, rest[0].id, "rest", now_ms())
    any_database.write(
        complaints.report, user, row(any_database, rest[1]), "不实", channel="miniprogram", timezone=ZONE
    )
    told = any_database.read(reviews.transcript, rest[0].id)
    assert [one.turn.question for one in told.turns] == ["第一句", "第2句", "第3句", "第4句"]
    assert [[d.state for d in one.deliveries] for one in told.turns] == [[], ["rest"], [], []]
    assert [[c.reason for c in one.complaints] for one in told.turns] == [[], [], ["不实"], []]
    assert told.conversation is not None and told.conversation.id == talk
    names = {(one.appid, one.openid) for one in told.identities}
    assert names == {("wxapp", "openid-wang"), ("unionid", "union-wang")}
    assert not told.earlier and not told.later
    with pytest.raises(NotFound):
        any_database.read(reviews.transcript, 1)


def test_a_review_is_kept_and_taken_back(any_database: Database) -> None:
    turn = said(any_database, "评一评")
    any_database.write(reviews.annotate, turn.id, "小王", note="不准", score=2, better_answer="应该这样答")
    kept = row(any_database, turn)
    assert (kept.note, kept.score, kept.better_answer, kept.reviewed_by) == ("不准", 2, "应该这样答", "小王")
    assert log(any_database, Filter(flags={"noted"})) == ["评一评"]
    any_database.write(reviews.annotate, turn.id, "小李", note="", score=None, better_answer=None)
    kept = row(any_database, turn)
    assert (kept.note, kept.score, kept.better_answer, kept.reviewed_by, kept.reviewed_at) == (None,) * 5
    assert log(any_database, Filter(flags={"noted"})) == []
    with pytest.raises(NotFound):
        any_database.write(reviews.annotate, 1, "小王", note="x", score=None, better_answer=None)


# Export


def test_everything_that_fits_is_exported_in_slices_that_tell_how_far_they_are(
    any_database: Database, indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turnlog, "EXPORT_SLICE", 4)
    for number in range(10):
        said(any_database, f"橙子{number}")
        said(any_database, "别的")
    assert indexer.look()
    slices = list(turnlog.export(any_database, Filter(text="橙子")))
    assert [turn.question for _, turns_ in slices for turn in turns_] == [f"橙子{n}" for n in range(9, -1, -1)]
    shares = [share for share, _ in slices]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert list(turnlog.export(any_database, Filter(text="没有"))) == [(1.0, [])]


# The queue


def queue(database: Database) -> list[tuple[str, str, str]]:
    return [(one.kind, one.state, one.reason) for one in database.read(complaints.page, 50)]


def test_blocked_and_disliked_turns_come_to_the_queue_once(any_database: Database, indexer: Indexer) -> None:
    hits = [{"word": "坏话", "action": "block", "start": 0, "end": 2, "in": "answer"}]
    said(any_database, "屏蔽我", status="blocked", hits=hits)
    turn = said(any_database, "不喜欢")
    for reason in ("不对", "还是不对"):
        any_database.write(lambda c, reason=reason: ratings.rate(c, row_of(c, turn), "down", reason, ZONE))
    assert indexer.look() and indexer.look()
    assert sorted(queue(any_database)) == [("blocked", "open", "坏话"), ("disliked", "open", "还是不对")]
    assert any_database.read(complaints.open_by_kind) == {"blocked": 1, "disliked": 1}
    any_database.write(lambda c: ratings.rate(c, row_of(c, turn), "up", None, ZONE))
    assert queue(any_database) == [("blocked", "open", "坏话")]
    (entry,) = any_database.read(complaints.page, 50)
    assert any_database.write(complaints.close, entry.id, "小王", "看过了")
    assert not any_database.write(complaints.close, entry.id, "小李", "也看过了")
    assert any_database.read(complaints.count_open) == 0


def test_what_was_closed_stays_closed_and_the_erased_leave_the_queue(any_database: Database) -> None:
    turn = said(any_database, "不喜欢")

    def dislike(connection: Any) -> None:
        ratings.rate(connection, row_of(connection, turn), "down", "不对", ZONE)

    any_database.write(dislike)
    (entry,) = any_database.read(complaints.page, 50)
    any_database.write(complaints.close, entry.id, "小王", "")
    any_database.write(dislike)
    assert queue(any_database) == [("disliked", "done", "不对")]
    other = said(any_database, "也不喜欢")
    any_database.write(lambda c: ratings.rate(c, row_of(c, other), "down", "差", ZONE))
    any_database.write(erasure.erase, other.user_id)
    assert queue(any_database)[0] == ("disliked", "done", "")
