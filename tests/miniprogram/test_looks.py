"""Every state of every page, on small and large phones, light and dark, with the largest font.

Pale text, small targets and things cut off fail; pictures of all of them are in build/screenshots, for eyes.
"""

import pytest

from tests.house import BLOCKED
from tests.miniprogram.test_chat import TOUR, ended
from tests.miniprogram.test_voice import TALK, wait_for_bars

LONG_CODE = (
    "```js\nconst answer = await fetch('https://example.com/a/very/long/address?with=many&parameters=1');\n```"
)
PHONES = {
    "390": {"width": 390},
    "320-dark": {"width": 320, "dark": True},
    "320-large": {"width": 320, "large_font": True},
}


class Tour:
    """Goes from state to state, keeps a picture of each, and what is wrong with it."""

    def __init__(self, phone, name):
        self.phone = phone
        self.name = name
        self.complaints = []
        self.number = 0

    def keep(self, state):
        self.number += 1
        self.phone.screenshot(f"{self.name}/{self.number:02}-{state}")
        self.complaints += [f"{state}: {complaint}" for complaint in self.phone.audit()]


@pytest.mark.parametrize("name", PHONES)
def test_every_state_can_be_read_and_tapped(new_phone, backend, ears, name):
    phone = new_phone(sharp=True, **PHONES[name]).open()
    tour = Tour(phone, name)
    chat_states(phone, backend, tour)
    failure_states(phone, tour)
    voice_states(phone, tour)
    other_pages(phone, tour)
    assert tour.complaints == []


def chat_states(phone, backend, tour):
    cogito = backend.cogito
    phone.see("你能做什么？")
    tour.keep("empty")
    cogito.will(reasoning=["先想", "想看，这个问题不简单"], pieces=["想好了，", "开始回答"], hold_at=0)
    phone.tap("深度思考")
    phone.type("为什么天是蓝的？")
    tour.keep("typed")
    phone.tap("发送")
    phone.page.wait_for_function("() => phone.page().data.stage === 'answering'")
    tour.keep("waiting")
    cogito.release()
    ended(phone)
    phone.tap("深度思考")
    phone.tap("已思考 1 秒")
    tour.keep("reasoning")
    cogito.hold_again()
    cogito.will(pieces=["正在写的", "一句话"], hold_at=1)
    phone.ask("写给我看")
    phone.see("正在写的")
    tour.keep("streaming")
    phone.tap("停止")
    phone.see("已停止")
    tour.keep("stopped")
    cogito.will_say(TOUR)
    phone.ask("来点 Markdown")
    phone.see("结束👩‍💻")
    ended(phone)
    tour.keep("markdown-end")
    phone.swipe(400)
    phone.find("回到底部")
    tour.keep("markdown")
    phone.tap("回到底部")
    cogito.will_say(LONG_CODE)
    phone.ask("一行很长的代码")
    phone.see("const answer")
    ended(phone)
    tour.keep("long-code")
    phone.tap("没有帮助")
    phone.see("哪里不好？")
    tour.keep("reasons")
    phone.tap("关闭")


def failure_states(phone, tour):
    phone.ask(f"买{BLOCKED}")
    phone.see("这个问题我不方便回答")
    tour.keep("refused")
    with phone.offline():
        phone.type("断网时的问题")
        phone.tap("发送")
        phone.see("没有发出去")
        phone.gone("网络好像不太给力")
        tour.keep("offline")
    phone.type("长" * 2100)
    phone.see("超出 100 字")
    tour.keep("too-long")
    phone.type("")


def voice_states(phone, tour):
    phone.tap("改用语音输入")
    phone.see("按住 说话")
    tour.keep("voice")
    phone.press(TALK)
    phone.see("松开结束")
    phone.hear(0.1, 0.5, 0.9, 0.4, 0.7, 0.2)
    wait_for_bars(phone)
    tour.keep("recording")
    phone.slide(-120)
    phone.see("松开手指")
    tour.keep("cancelling")
    phone.release()
    phone.tap("改用键盘输入")


def other_pages(phone, tour):
    phone.tap("全部对话与设置")
    phone.find("管理对话：为什么天是蓝的？")
    tour.keep("conversations")
    phone.type("没有这样的话", into="搜索对话")
    phone.see("没有找到")
    tour.keep("nothing-found")
    phone.tap("投诉与反馈")
    phone.see("是什么问题")
    tour.keep("feedback")
    for page, text in {"about": "用户编号", "privacy": "关于 AI 生成的内容"}.items():
        phone.open(f"pages/{page}/{page}")
        phone.see(text)
        tour.keep(page)
