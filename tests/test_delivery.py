"""How answers reach followers of an account that may not push: in time, in pieces, in order, across kills."""

import os
import re
import signal
import socket
import threading
import time
from urllib.parse import urlencode

import pytest

from tests.house import BLOCKED
from tests.phones import CUT, LABEL, TOKEN, body, street
from tests.server import wait_until
from wechat.envelope import sign
from wechat.simulator.pushes import FAILURE, Message, WireRequest
from wechat.simulator.wire import exchange


@pytest.fixture(scope="module")
def _passive(tmp_path_factory):
    with street(tmp_path_factory.mktemp("passive")) as made:
        yield made


@pytest.fixture
def passive(_passive):
    _passive.at(0)
    _passive.official.pushes.messages.clear()
    yield _passive
    _passive.account.overlap, _passive.account.cut_seconds = False, CUT
    _passive.house.settle()


def sentences(count, who="甲"):
    return "".join(f"这是写给{who}的第{number}句话，说的是一件小事。" for number in range(1, count + 1))


def in_time(message):
    return [attempt.outcome for attempt in message.attempts]


def test_a_quick_answer_is_the_first_reply_and_carries_the_label(passive):
    passive.cogito.will_say("北京今天", "**晴**，见[天气](https://w.cn)。")
    message = passive.phone().say("北京天气怎么样")
    assert message.text == f"北京今天晴，见天气（https://w.cn）。\n\n{LABEL}"
    assert in_time(message) == ["answered"]


def test_an_answer_that_takes_two_deliveries_comes_whole_with_one_call(passive):
    message = passive.phone().say(f"慢一点[slow:{CUT + 0.3}][say:想好了，就是这样。]")
    assert body(message.text) == "想好了，就是这样。"
    assert in_time(message) == ["timeout", "answered"]
    assert passive.house.calls("慢一点") == 1


def test_the_last_delivery_tells_how_far_it_is_and_the_rest_comes_by_going_on(passive):
    whole = sentences(40)
    phone = passive.phone()
    half = len(whole) // 6
    message = phone.say(f"说长一点[say:{whole}][pause:{half}@7]")
    assert in_time(message) == ["timeout", "timeout", "answered"]
    first = message.text
    assert re.search(r"（还在写，大约还要 \d+ (秒|分钟)，回复“继续”查看后文）$", first)
    assert LABEL in first and body(first).endswith("。")
    assert whole.startswith(body(first))
    early = phone.say("继续").text
    assert re.match(r"还在写，(后文已有约 \d+ 字，)?大约还要 .*稍后回复“继续”查看。$", early)
    passive.wait_answered()
    pieces = [body(first)]
    while True:
        piece = phone.say("继续。").text
        assert len(piece.encode()) <= 2000 and LABEL in piece
        pieces.append(body(piece))
        if piece.endswith("（完）"):
            break
        assert re.search(r"（还有约 \d+ 字，回复“继续”查看）$", piece)
        assert len(pieces[-1]) >= 300
    assert "".join(pieces) == whole
    assert passive.house.calls("说长一点") == 1


def test_going_on_where_nothing_is_left_is_a_question(passive):
    passive.cogito.will_say("继续什么呢？请说得明白一点。")
    assert body(passive.phone().say("继续").text) == "继续什么呢？请说得明白一点。"


def test_nothing_written_yet_is_said(passive):
    phone = passive.phone()
    message = phone.say("想很久[slow:5][say:终于想好了呀。]")
    assert re.fullmatch(r"正在写，大约还要 \d+ (秒|分钟)，回复“继续”查看。", message.text)
    passive.wait_answered()
    assert body(phone.say("繼續").text) == "终于想好了呀。"


def test_many_deliveries_at_once_are_one_question_and_one_reply(passive):
    passive.account.overlap = True
    message = passive.phone().say(f"重叠[slow:{CUT + 0.6}][say:只回答一次就好。]")
    assert body(message.text) == "只回答一次就好。"
    replies = {attempt.reply for attempt in message.attempts if attempt.outcome == "answered"}
    assert len(replies) >= 1
    assert passive.house.calls("重叠") == 1


def test_another_process_answers_the_next_delivery(passive):
    phone = passive.phone()
    message = phone.start(f"换个进程[slow:{CUT + 0.4}][say:在哪个进程都一样。]")
    wait_until(lambda: message.attempts)
    passive.house.called("换个进程")
    passive.at(1)
    assert message.done.wait(20)
    assert body(message.text) == "在哪个进程都一样。"
    assert passive.house.calls("换个进程") == 1


def test_two_processes_get_the_same_message_at_the_same_time(passive):
    phone = passive.phone()
    fields = {"MsgType": "text", "Content": "同时到达[slow:0.3][say:同一个回答就好。]"}
    message = passive.official.pushes.send(phone.openid, fields)
    request = WireRequest(passive.account, message)
    answers = []

    def deliver(api):
        url = f"{api.url}/wechat/callback"
        answers.append(exchange("POST", url, request.query, request.body, request.content_type, 5))

    threads = [threading.Thread(target=deliver, args=(api,)) for api in passive.house.apis * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert message.done.wait(10)
    answered = [each for each in answers if not each.failure]  # others were left for the next delivery
    assert answered and {each.status for each in answered} == {200}
    assert passive.house.calls("同时到达") == 1


def test_a_second_question_waits_for_the_first_and_both_are_answered(passive):
    phone = passive.phone()
    first = phone.start("先问这个[slow:2.2][say:第一个的回答在这里。]")
    passive.house.called("先问这个")
    second = phone.start("再问那个[say:第二个的回答在这里。]")
    assert first.done.wait(20) and second.done.wait(20)
    seen = [first.text, second.text]
    while "第二个的回答在这里。" not in "".join(seen):
        seen.append(phone.say("继续").text)
    assert "第一个的回答在这里。" in "".join(seen)
    (prompt,) = passive.house.prompts("再问那个")
    assert [one["content"] for one in prompt[1:]][1] == "第一个的回答在这里。"


def test_a_reply_with_the_answer_to_another_question_says_so(passive):
    phone = passive.phone()
    phone.say("北京天气[slow:5][say:北京今天是晴天。]")
    passive.cogito.will_say("上海今天有雨，带伞。")
    passive.wait_answered()
    second = phone.say("上海呢").text
    assert second.startswith("上海今天有雨，带伞。")
    assert second.endswith("（上一条还有后文，回复“继续”查看）")
    rest = phone.say("接着说").text
    assert rest.startswith("【关于“北京天气[slow:5][sa…”】\n北京今天是晴天。")


def test_the_rest_of_an_answer_survives_a_restart_of_all_processes(passive):
    whole = sentences(90, "乙")
    passive.cogito.when("长长的", pieces=[whole])
    phone = passive.phone()
    pieces = [body(phone.say("长长的问题").text)]
    passive.wait_answered()
    before = passive.house.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    while not (piece := phone.say("继续").text).endswith("（完）"):
        pieces.append(body(piece))
    pieces.append(body(piece))
    assert not set(before) & set(passive.house.workers())
    assert "".join(pieces) == whole
    assert len(pieces) > 2
    assert passive.house.calls("长长的") == 1


def test_a_killed_process_loses_no_question(passive):
    workers = passive.house.api.children()
    phone = passive.phone()
    message = phone.start("杀不死[slow:1.2][say:回答还在这里呢。]")
    passive.house.called("杀不死")
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert message.done.wait(30)
    seen = message.text
    if "回答还在" not in seen:
        passive.wait_answered()
        seen = phone.say("继续").text
    assert body(seen) == "回答还在这里呢。"
    wait_until(lambda: len(passive.house.api.children()) == 1)


def break_off(passive, message, number):
    """Kill the process that is at a message's delivery of this number (0 or 1); the next one goes to the other."""
    passive.at(1 - number)
    wait_until(lambda: passive.house.delivered(message.fields["MsgId"]) == number + 1)
    for worker in passive.house.apis[number].children():
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(message.attempts) == number + 2)


def test_after_a_line_that_broke_no_delivery_is_left_unanswered(passive):
    """Of WeChat's three deliveries one is lost: a silent one, and another that breaks, would be the end of it."""
    passive.cogito.when("断过一次", pieces=["断过一次", "也还在的回答。"], every=0, hold_at=0)
    phone = passive.phone()
    wait_until(lambda: time.time() % 1 > 0.9)  # WeChat's clock tells whole seconds: the message soon looks old
    message = phone.start("断过一次")
    passive.house.called("断过一次")
    break_off(passive, message, 0)
    assert message.done.wait(15)
    assert in_time(message) == ["closed", "answered"]
    assert message.text.startswith("正在写")
    passive.cogito.release()
    passive.wait_answered()
    assert body(phone.say("继续").text) == "断过一次也还在的回答。"
    wait_until(lambda: len(passive.house.workers()) == 2)


def test_a_line_that_breaks_twice_is_answered_the_third_time(passive):
    """Another break would be one too many, so the last delivery does not wait for the answer."""
    phone = passive.phone()
    passive.account.cut_seconds = 10  # a worker may be slow to start
    passive.cogito.when("断了又断", pieces=["断了两次", "也还在的回答。"], every=0, hold_at=0)
    message = phone.start("断了又断")
    passive.house.called("断了又断")
    break_off(passive, message, 0)
    break_off(passive, message, 1)
    assert message.done.wait(15)
    assert in_time(message) == ["closed", "closed", "answered"]
    assert message.text.startswith("正在写")
    passive.cogito.release()
    passive.wait_answered()
    assert body(phone.say("继续").text) == "断了两次也还在的回答。"
    wait_until(lambda: len(passive.house.workers()) == 2)


def test_another_text_after_a_kill_is_told_from_its_beginning(passive):
    phone = passive.phone()
    passive.at(1)
    passive.cogito.will(pieces=["这是第一次的开头。", *["还有更多的内容在后面。"] * 5], every=0, hold_at=1)
    message = phone.say("会变的回答")
    assert body(message.text) == "这是第一次的开头。"
    passive.cogito.will_say("这一次完全不一样了。")
    for worker in passive.house.other.children():
        os.kill(worker, signal.SIGKILL)
    passive.at(0)
    passive.house.called("会变的回答", 2)
    passive.wait_answered()
    assert phone.say("继续").text == f"刚才的回答中断了，重新回答如下：\n这一次完全不一样了。\n\n{LABEL}"


def test_refusals_are_sentences(passive):
    phone = passive.phone()
    assert phone.say(f"说说{BLOCKED}").text == "这个问题我不方便回答，换个问题试试吧。"
    passive.cogito.will_fail(400)
    assert phone.say("模型坏了").text == "我暂时答不上来，请稍后再问一次。"
    passive.cogito.will_say("前半句是好的。", f"后半句有{BLOCKED}。", "再后面。")
    assert phone.say("答案被拦").text == "这个问题我不方便回答，换个问题试试吧。"


def test_quota_and_silence_are_limited(tmp_path):
    with street(tmp_path, processes=1, user_per_day=1, wechat_silent_per_5_min=2) as made:
        outcomes = []
        for number in range(3):
            message = made.phone().say(f"很慢{number}[slow:{CUT * 3}][say:慢慢的回答来了。]")
            outcomes.append(in_time(message))
        assert outcomes == [["timeout", "timeout", "answered"], ["answered"], ["answered"]]
        assert made.official.pushes.failures == 2
        phone = made.phone()
        made.cogito.will_say("第一个问题的回答。")
        assert body(phone.say("第一个").text) == "第一个问题的回答。"
        assert phone.say("第二个").text == "今天的 1 次提问已用完，明天 0 点恢复。"
        assert phone.say("帮助").text.startswith("直接发送文字")


def test_silence_is_no_byte_at_all_and_no_early_close(passive):
    """A raw line: WeChat's own patience is longer than our test's."""
    phone = passive.phone()
    api = passive.house.api
    fields = {"ToUserName": passive.account.name, "FromUserName": phone.openid, "CreateTime": int(time.time())}
    message = Message(phone.openid, fields | {"MsgType": "text", "Content": "沉默[slow:8]", "MsgId": 7})
    request = WireRequest(passive.account, message)
    head = (
        f"POST /wechat/callback?{request.query} HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\n"
        f"Content-Length: {len(request.body)}\r\n\r\n"
    )
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", api.port)) as line:
        line.sendall(head.encode() + request.body)
        line.settimeout(9)
        assert line.recv(100) == b""
    assert 5.8 <= time.monotonic() - began < 7.5


def test_a_lost_reply_is_given_again(passive):
    passive.cogito.will_say("丢了一次的回答在此。")
    passive.account.lose_replies = 1
    message = passive.phone().say("丢包")
    assert in_time(message) == ["lost", "answered"]
    assert body(message.text) == "丢了一次的回答在此。"
    assert passive.house.calls("丢包") == 1


def test_a_plain_signature_opens_nothing_in_safe_mode(passive):
    import requests

    timestamp = str(int(time.time()))
    query = urlencode({"signature": sign(TOKEN, timestamp, "1"), "timestamp": timestamp, "nonce": "1"})
    answer = requests.post(f"{passive.house.api.url}/wechat/callback?{query}", data=b"<xml><a>1</a></xml>", timeout=5)
    assert answer.status_code == 403


def test_nobody_was_told_that_the_service_is_broken(passive):
    everyone = [line.text for chat in passive.official.chats._chats.values() for line in chat.lines]
    assert everyone and FAILURE not in everyone
