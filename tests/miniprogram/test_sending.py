"""Sending and receiving when something goes wrong: the network, the log-in, the server, the phone."""

import pytest
import requests
from sqlalchemy import update

from core.tables import UserRow
from tests.house import BLOCKED
from tests.miniprogram.test_chat import button, ended
from tests.scripts import failure

BAD_NETWORK = "网络好像不太给力,请稍后再试"
RESUMING = "网络中断，正在恢复…"


@pytest.fixture
def chat(phone):
    return phone.open()


def turn(phone, number=-1):
    return phone.js("number => phone.page().thread.turns.at(number)", number)


def test_offline_is_said_and_a_retry_sends_the_same_question_once(chat, backend):
    chat.see("你能做什么？")
    with chat.offline():
        chat.see("网络已断开")
        chat.ask("断网时的问题")
        chat.see(BAD_NETWORK, "没有发出去", "断网时的问题")
    chat.gone("网络已断开")
    assert backend.calls("断网时的问题") == 0
    chat.tap("重试")
    chat.see("回答：断网时的问题")
    assert chat.text().count("断网时的问题") == 2, "the question and its answer, once each"
    assert backend.calls("断网时的问题") == 1


def test_the_users_message_is_never_lost(chat):
    with chat.offline():
        chat.ask("不能丢的话")
        chat.see("没有发出去")
        chat.open()
        chat.see("不能丢的话", "没有发出去")
    chat.tap("重试")
    chat.see("回答：不能丢的话")


@pytest.mark.parametrize(
    "faults",
    [{"split_bytes": 1}, {"split_bytes": 3}, {"no_chunked": True}, {"whole_body": True}, {"sdk": "2.10.0"}],
    ids=lambda faults: "-".join(faults),
)
def test_the_answer_is_whole_whatever_the_phone_can_do(chat, backend, faults):
    chat.faults(**faults)
    backend.cogito.will(pieces=["汉字、", "émoji👩‍💻、", "表情😀", "完。"], every=0.02)
    chat.ask("你好，在吗")
    chat.see("汉字、émoji👩‍💻、表情😀完。")
    ended(chat)
    assert backend.calls("你好，在吗") >= 1


def test_a_dropped_stream_is_resumed_without_a_break(chat, backend):
    pieces = [f"{n:03} " for n in range(120)]
    backend.cogito.will(pieces=pieces, every=0.005)
    chat.faults(fail_after=900, fail_times=1)
    asked = len(backend.cogito.requests)
    chat.ask("数到一百二十")
    chat.see("119", within=10)
    ended(chat)
    assert turn(chat)["reply"].strip() == "".join(pieces).strip()
    assert len(backend.cogito.requests) == asked + 1, "the model was asked once"
    chat.gone(RESUMING)


def test_while_it_is_resumed_people_are_told(chat, backend):
    backend.cogito.will(pieces=["开头的文字", "后面的文字"], hold_at=1)
    chat.ask("网会断")
    chat.see("开头的文字")
    chat.faults(offline=True)
    chat.js("() => [...phone.requests.running].forEach((each) => each.end('errcode:-101'))")
    chat.see(RESUMING, "开头的文字")
    chat.faults(offline=False)
    backend.cogito.release()
    chat.see("开头的文字后面的文字")
    chat.gone(RESUMING)


def test_ten_seconds_in_another_app_lose_nothing(chat, backend):
    pieces = [f"{n:03} " for n in range(60)]
    backend.cogito.will(pieces=pieces, every=0.03)
    chat.ask("边写边离开")
    chat.see("005")
    chat.background(10)
    chat.see("059")
    ended(chat)
    assert turn(chat)["reply"].strip() == "".join(pieces).strip()
    assert not chat.shows(RESUMING) and backend.calls("边写边离开") == 0 + 1


def test_the_longest_request_is_not_the_longest_answer(chat, backend):
    pieces = [f"{n:03} " for n in range(40)]
    backend.cogito.will(pieces=pieces, every=0.05)
    chat.faults(request_ms=1000)
    chat.ask("答案很长")
    chat.see("039", within=10)
    ended(chat)
    assert turn(chat)["reply"].strip() == "".join(pieces).strip()


def test_a_stream_that_falls_silent_is_polled(chat, backend):
    pieces = [f"{n:03} " for n in range(60)]
    backend.cogito.will(pieces=pieces, every=0.02)
    chat.faults(stall_after=600, stall_times=1, timer_speed=3)
    chat.ask("半路没声音")
    chat.see("059", within=12)
    ended(chat)
    assert turn(chat)["reply"].strip() == "".join(pieces).strip()
    assert backend.calls("半路没声音") == 1


def test_on_cloud_hosting_answers_are_polled(new_phone, backend):
    phone = new_phone(cloud=True).open()
    backend.cogito.will(pieces=["云上", "的回答", "写完了"], every=0.2)
    phone.ask("云托管可以吗")
    phone.see("云上的回答写完了")
    ended(phone)
    assert phone.calls("request") == [], "nothing but callContainer"
    assert phone.calls("login") == [], "WeChat itself says who calls"
    backend.cogito.will(pieces=["停之前的文字", "之后"], hold_at=1)
    phone.ask("停得住吗")
    phone.see("停之前的文字")
    phone.tap("停止")
    phone.see("已停止")


def test_one_chunked_request_at_a_time(chat):
    for question in ("第一个问题", "第二个问题"):
        chat.ask(question)
        chat.see(f"回答：{question}")
        ended(chat)
    assert chat.js("() => phone.requests.most") <= 4


def test_one_question_at_a_time(chat, backend):
    backend.cogito.will(pieces=["第一个问题的", "回答"], hold_at=1)
    chat.ask("先问的问题")
    chat.see("第一个问题的")
    chat.type("急着问的问题")
    assert button(chat) == "停止", "nothing can be sent now"
    chat.press_enter()
    assert chat.field().input_value() == "急着问的问题"
    assert len(chat.data()["turns"]) == 1


def test_an_expired_log_in_is_renewed_once_and_silently(chat, backend):
    chat.see("你能做什么？")
    token = chat.stored("aiSession")["token"]
    requests.post(f"{backend.api.url}/api/logout", headers={"Authorization": f"Bearer {token}"}, timeout=5)
    chat.ask("登录过期了吗")
    chat.see("回答：登录过期了吗")
    assert len(chat.calls("login")) == 2


def test_a_log_in_that_fails_is_tried_again(new_phone):
    phone = new_phone(login_fails=True).open()
    phone.ask("登录不了")
    phone.see("没有发出去", BAD_NETWORK)
    phone.faults(login_fails=False)
    phone.tap("重试")
    phone.see("回答：登录不了")


def test_a_blocked_word_is_a_sentence_and_the_text_stays(chat):
    chat.ask(f"哪里买{BLOCKED}")
    chat.see("这个问题我不方便回答，换个问题试试吧。")
    assert chat.field().input_value() == f"哪里买{BLOCKED}"
    assert not chat.shows("content_blocked")
    chat.type("换个问题")
    chat.tap("发送")
    chat.see("回答：换个问题")
    chat.gone("这个问题我不方便回答")


def test_an_answer_that_is_blocked_says_so(chat, backend):
    backend.cogito.will_say("这里有卖", BLOCKED, "的地方")
    chat.ask("哪里有")
    chat.see("这个问题我不方便回答，换个问题试试吧。")
    assert BLOCKED not in chat.text()


def test_a_used_up_quota_is_a_sentence_and_the_text_stays(chat, backend):
    chat.ask("今天的第一问")
    ended(chat)
    user_id = backend.row(turn(chat)["turnId"]).user_id
    only_one = update(UserRow).where(UserRow.id == user_id).values(per_day=1)
    backend.database.write(lambda connection: connection.execute(only_one).rowcount)
    chat.ask("今天的第二问")
    chat.see("今天的 1 次提问已用完，明天 0 点恢复。")
    assert chat.field().input_value() == "今天的第二问"


@pytest.mark.parametrize("lost", [False, True])
def test_a_refusal_is_understood_even_if_its_body_is_lost(new_phone, lost):
    phone = new_phone(error_body_lost=lost).open()
    phone.ask(f"买{BLOCKED}")
    phone.see("这个问题我不方便回答，换个问题试试吧。")


def test_a_failing_model_can_be_asked_again(chat, backend):
    backend.cogito.when("模型坏了", failure(500, "server_error", "scripted failure"))
    chat.ask("模型坏了")
    chat.see("重试")
    assert chat.shows("模型坏了") and "model_error" not in chat.text()
    backend.cogito.forget()
    chat.tap("重试")
    chat.see("回答：模型坏了")


def test_a_draft_is_kept_when_the_app_is_left(chat):
    chat.type("写到一半的话")
    chat.page.wait_for_function("() => phone.wx.getStorageSync('aiChatDraft')")
    chat.open()
    chat.page.wait_for_function("() => document.querySelector('textarea').value === '写到一半的话'")
    chat.tap("发送")
    chat.see("回答：写到一半的话")
    chat.open()
    chat.see("回答：写到一半的话")
    assert chat.field().input_value() == ""


def test_an_answer_that_was_being_written_at_the_end_is_picked_up_at_the_start(chat, backend):
    backend.cogito.will(pieces=["离开前的文字", "回来后的文字"], hold_at=1)
    chat.ask("关掉再打开")
    chat.see("离开前的文字")
    chat.open()
    chat.see("离开前的文字")
    assert button(chat) == "停止"
    backend.cogito.release()
    chat.see("离开前的文字回来后的文字")
    ended(chat)
