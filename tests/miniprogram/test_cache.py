"""What the phone keeps: on the screen before the network answers, bounded in size, gone when it is cleared."""

import json

from tests.miniprogram.test_chat import ended
from tests.server import wait_until

OLD = [
    {"role": "user", "content": "旧版本的问题"},
    {"role": "ai", "content": "旧版本的回答"},
    {"role": "user", "content": "最后一个没有回答的问题"},
]


def test_the_last_conversation_is_there_without_a_network(phone):
    phone.open()
    phone.ask("记住这一问")
    ended(phone)
    phone.settings["faults"] = {"offline": True}
    phone.open()
    phone.see("回答：记住这一问", "网络已断开")


def test_the_tutorials_history_is_taken_over_and_nothing_of_it_is_lost(new_phone):
    phone = new_phone()
    phone.store("aiChatHistory", OLD)
    phone.open()
    phone.see("旧版本的问题", "旧版本的回答", "最后一个没有回答的问题")
    phone.tap("重试")
    phone.see("回答：最后一个没有回答的问题", "旧版本的回答")
    ended(phone)
    phone.open()
    phone.see("旧版本的回答", "回答：最后一个没有回答的问题")


def test_a_damaged_history_does_not_stop_the_start(new_phone):
    for damaged in ("不是列表", [None, 7, {"role": "user"}], {"messages": 3}, {"version": 9}):
        phone = new_phone()
        phone.store("aiChatHistory", damaged)
        phone.open()
        phone.see("你能做什么？")
        assert phone.troubles() == []
        phone.close()


def test_a_full_storage_loses_nothing_on_the_screen(new_phone):
    phone = new_phone(storage_bytes=3000).open()
    phone.see("你能做什么？")
    for number in range(3):
        phone.ask(f"第{number}个" + "很长的问题" * 60)
        phone.see(f"回答：第{number}个")
        ended(phone)
    phone.see("回答：第0个", "回答：第2个")


def test_a_storage_with_no_room_at_all_changes_nothing(new_phone):
    """Not even the session and the draft can be kept."""
    phone = new_phone(storage_bytes=1).open()
    phone.see("你能做什么？")
    phone.type("写了一半的")
    wait_until(lambda: {"key": "aiChatDraft"} in phone.calls("setStorageSync"))
    phone.ask("什么都存不下")
    phone.see("回答：什么都存不下")
    ended(phone)


def test_what_is_kept_is_bounded(new_phone):
    phone = new_phone()
    turn = {"turnId": "1", "status": "done", "question": "问" * 1000, "reply": "答" * 1000}
    full = [
        {
            "id": str(n),
            "title": f"对话{n}",
            "at": n,
            "turns": [turn | {"key": f"{n}-{m}", "at": n} for m in range(15)],
        }
        for n in range(1, 12)
    ]
    phone.store("aiChatHistory", {"version": 2, "current": "", "conversations": full})
    phone.open()
    phone.ask("再问一个")
    ended(phone)
    kept = phone.stored("aiChatHistory")
    assert len(json.dumps(kept, ensure_ascii=False)) < 320_000, "the oldest had to go"
    assert kept["conversations"][0]["turns"][0]["question"] == "再问一个", "the newest is what is kept"
    assert phone.js("() => phone.wx.getStorageInfoSync().currentSize") < 1024


def test_clearing_leaves_nothing_on_the_phone(phone):
    phone.open()
    phone.ask("要清掉的话")
    ended(phone)
    phone.tap("全部对话与设置")
    phone.tap("清空全部对话")
    phone.see("清空全部对话", "无法恢复")
    phone.tap("清空")
    phone.see("已清空", "还没有对话")
    assert "要清掉的话" not in json.dumps(phone.js("() => ({ ...localStorage })"), ensure_ascii=False)
    phone.back()
    phone.see("你能做什么？")
    phone.open()
    phone.see("你能做什么？")
    assert not phone.shows("要清掉的话")
