"""Accounts that may push: what comes as a passive reply, what as customer-service messages, and when neither can."""

import os
import signal
import time

import pytest
from sqlalchemy import update

from core.store import accounts, deliveries
from core.tables import DeliveryRow, FollowerRow
from tests.phones import LABEL, body, street
from tests.server import wait_until
from tests.test_delivery import sentences

SEND, TYPING = "/cgi-bin/message/custom/send", "/cgi-bin/message/custom/typing"


@pytest.fixture(scope="module")
def _town(tmp_path_factory):
    with street(tmp_path_factory.mktemp("pushing"), wechat_customer_service=1) as made:
        made.phone().say("热身[say:可以开始了。]")  # a process is slower at its first answer
        yield made


@pytest.fixture
def town(_town):
    _town.at(0)
    yield _town
    _town.official.world.mend()
    _town.account.may_push = True
    _town.house.settle()


def fault(town, path=SEND, **fault):
    from wechat.simulator.world import Fault

    town.official.world.inject(Fault(path, **fault))


def texts(lines):
    return [line.text for line in lines]


def test_a_quick_answer_costs_no_message(town):
    phone = town.phone()
    town.cogito.will_say("很快就有的回答。")
    assert body(phone.say("快").text) == "很快就有的回答。"
    assert town.official.chats.of(phone.openid).sent == 0


def test_a_slow_answer_is_pushed_and_typing_is_shown(town):
    phone = town.phone()
    message = phone.say("慢[slow:2.5][say:慢慢写好的回答。]")
    assert message.verdict.kind == "nothing"
    assert [attempt.outcome for attempt in message.attempts] == ["answered"]
    assert town.official.chats.of(phone.openid).typing_until > time.time()
    (line,) = phone.wait_for(bool)
    assert (line.text, line.way, line.ai) == (f"慢慢写好的回答。\n\n{LABEL}", "pushed", True)
    assert town.house.calls("慢[slow") == 1


def earlier(town, phone, row, column, seconds):
    """Move a time of this follower's into the past; the simulator's clock goes as far ahead."""
    theirs = update(row).where(row.openid == phone.openid)
    town.house.database.write(lambda c: c.execute(theirs.values({column: column - seconds * 1000})).rowcount)


def test_typing_is_renewed_while_it_takes_long_and_never_doubled(town, monkeypatch):
    """The simulator refuses typing that is doubled; every call of it is counted here."""
    calls, chats = [], town.official.chats
    type_ = chats.type

    def counted(openid, now, command):
        calls.append(openid)
        type_(openid, now, command)

    monkeypatch.setattr(chats, "type", counted)
    phone = town.phone()
    town.cogito.when("打字很久", pieces=["写得", "很慢的回答。"], every=0, hold_at=1)
    phone.say("打字很久")
    chat = chats.of(phone.openid)
    wait_until(lambda: chat.typing_until > time.time())
    town.house.wait_tick()
    assert calls.count(phone.openid) == 1
    town.official.world.advance(16)
    try:
        earlier(town, phone, FollowerRow, FollowerRow.typing_at, 16)
        wait_until(lambda: chat.typing_until > town.official.world.now())
        town.house.wait_tick()
        assert calls.count(phone.openid) == 2
    finally:
        town.official.world.advance(-16)
    town.house.cogito.release()
    assert body(phone.wait_for(bool, 15)[-1].text) == "写得很慢的回答。"


def test_after_twenty_seconds_the_whole_paragraphs_so_far_are_sent(town):
    phone = town.phone()
    first, second, third = ("第一段写完了。\n\n", "第二段也写完了。\n\n第三段才写", "到一半，现在好了。")
    town.cogito.when("三段话", pieces=[first, second, third], every=0, hold_at=2)
    assert phone.say("三段话").verdict.kind == "nothing"
    town.house.wait_tick()
    assert phone.news() == []
    earlier(town, phone, DeliveryRow, DeliveryRow.created_at, 20)
    (part,) = phone.wait_for(bool)
    assert (body(part.text), part.ai) == ("第一段写完了。\n\n第二段也写完了。", True)
    town.cogito.release()
    rest = phone.wait_for(lambda lines: len(lines) == 2)[1]
    assert body(rest.text) == "第三段才写到一半，现在好了。" and rest.text.endswith("（完）")
    assert town.house.calls("三段话") == 1


def test_a_long_answer_comes_in_five_messages_at_most_and_the_rest_by_going_on(town):
    whole = sentences(240)
    phone = town.phone()
    town.cogito.when("特别长", pieces=[whole], slow=1.5)
    phone.say("特别长")
    lines = phone.wait_for(lambda lines: len(lines) >= 5, 20)
    assert all(len(line.text.encode()) <= 2000 for line in lines)
    assert "回复“继续”查看" in lines[4].text and "继续" not in "".join(texts(lines[:4]))
    town.house.wait_tick()
    assert len(phone.wait_for(bool)) == 5
    pieces = [body(text) for text in texts(lines)]
    while True:
        piece = phone.say("继续").text
        pieces.append(body(piece))
        if piece.endswith("（完）"):
            break
    assert "".join(pieces) == whole


def test_the_rest_of_a_long_passive_reply_is_pushed(town):
    whole = sentences(60)
    phone = town.phone()
    town.cogito.when("一下就长", pieces=[whole])
    first = phone.say("一下就长").text
    lines = phone.wait_for(lambda lines: len(lines) == 2)
    assert body(first) + body(lines[1].text) == whole
    assert lines[1].text.endswith("（完）")


def unfinished(town, phone):
    """The messages of a follower whose answers have not been shown to the end."""
    return town.house.database.read(deliveries.unfinished, town.account.appid, phone.openid)


def refused(town, question, faults):
    """Followers who ask at the same time, each of whose answers meets one of these faults."""
    for one in faults:
        fault(town, **one)
    phones = [town.phone() for _ in faults]
    for number, phone in enumerate(phones):
        phone.start(f"{question}{number}[slow:1.5][say:这是第{number}个回答。]")
    return phones


def states(town, phones):
    return [row.state for phone in phones for row in unfinished(town, phone)]


def test_what_may_not_be_sent_waits_for_the_follower(town):
    phones = refused(town, "等用户", [{"errcode": 45015}, {"errcode": 45047}, {"errcode": 45009}, {"drop": True}])
    wait_until(lambda: states(town, phones) == ["rest"] * len(phones), 20)
    for number, phone in enumerate(phones):
        assert phone.news() == []
        assert body(phone.say("继续").text) == f"这是第{number}个回答。"
    assert "alert wechat_45009" in told(town)


def told(town):
    return town.house.api.log + town.house.other.log


def test_a_busy_platform_is_asked_again(town):
    phone = town.phone()
    fault(town, errcode=-1, times=2)
    phone.say("忙[slow:1.5][say:第三次才送到的话。]")
    (line,) = phone.wait_for(bool, 15)
    assert body(line.text) == "第三次才送到的话。"


def test_a_platform_that_stays_busy_is_not_asked_for_ever(town):
    phone = town.phone()
    fault(town, errcode=-1, times=50)
    phone.start("一直忙[slow:1.5][say:最后等你来问。]")
    for tries in (1, 2, 3):
        wait_until(lambda tries=tries: [row.tries for row in unfinished(town, phone)] == [tries], 20)
        earlier(town, phone, DeliveryRow, DeliveryRow.due, 11)
    wait_until(lambda: states(town, [phone]) == ["rest"], 20)
    assert town.official.world.fault_for(SEND).times == 50 - 4 - 1
    town.official.world.mend()
    assert body(phone.say("继续").text) == "最后等你来问。"


def test_after_too_many_calls_in_a_minute_the_next_one_is_waited_for(town):
    phone = town.phone()
    fault(town, errcode=45011)
    phone.start("太频繁[slow:1.5][say:下一分钟送到。]")
    wait_until(lambda: [row.tries for row in unfinished(town, phone)] == [1], 20)
    (row,) = unfinished(town, phone)
    assert 0 <= row.due % 60_000 <= 600 and row.due > time.time() * 1000 - 1000
    earlier(town, phone, DeliveryRow, DeliveryRow.due, 61)
    (line,) = phone.wait_for(bool)
    assert body(line.text) == "下一分钟送到。"


def test_too_long_a_message_is_split(town):
    whole = sentences(20)
    phone = town.phone()
    town.cogito.when("要拆开", pieces=[whole], slow=1.5)
    fault(town, errcode=45002)
    phone.say("要拆开")
    lines = phone.wait_for(lambda lines: len(lines) >= 2, 15)
    wait_until(lambda: "".join(body(line.text) for line in phone.wait_for(bool)) == whole)
    assert len(lines) >= 2


def test_an_invalid_token_is_replaced_once(town):
    phone = town.phone()
    fault(town, errcode=40001)
    phone.say("换令牌[slow:1.5][say:换了令牌送到的。]")
    (line,) = phone.wait_for(bool, 15)
    assert body(line.text) == "换了令牌送到的。"


def test_an_undeliverable_answer_is_not_tried_again(town):
    codes = (40003, 43004, 43019, 48002, 48004, 50002, 70000)
    phones = refused(town, "送不到", [{"errcode": code} for code in codes])
    wait_until(lambda: states(town, phones) == ["undeliverable"] * len(codes), 20)
    assert all(f"undeliverable: {code}" in told(town) for code in codes)
    assert "alert wechat_48004" in told(town) and not any(phone.news() for phone in phones)


def test_a_killed_pusher_loses_nothing(town):
    phone = town.phone()
    fault(town, delay=3)
    phone.say("杀推送[slow:1.5][say:被杀也要送到的话。]")
    wait_until(lambda: any(row.pusher is not None for row in unfinished(town, phone)))
    for api in town.house.apis:
        for worker in api.children():
            os.kill(worker, signal.SIGKILL)
    lines = phone.wait_for(bool, 30)
    assert {body(line.text) for line in lines} == {"被杀也要送到的话。"} and len(lines) <= 2


def test_an_account_that_may_not_after_all_is_treated_as_one(town):
    """The last test of its street: for an hour nothing is pushed."""
    town.account.may_push = False
    phone = town.phone()
    seen = phone.say("没权限[slow:2.5][say:没有权限也能看到。]").text
    wait_until(lambda: not town.house.database.read(accounts.may_push, town.account.appid))
    town.wait_answered()
    if "没有权限" not in seen:
        seen = phone.say("继续").text
    assert body(seen) == "没有权限也能看到。"
    assert "alert wechat_48001" in told(town)
