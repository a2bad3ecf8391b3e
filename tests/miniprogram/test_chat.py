"""The chat page: asking, reading, judging. Everything is real but the model, which says what it is told."""

import json

import pytest

LABEL = "内容由 AI 生成"
TOUR = """# 一级标题

一段**重点**文字，`行内代码`，~~删掉~~，公式 $x^2+\\frac{a}{b}$。

1. 第一
   - 里面
2. 第二

> 引用的话

| 城市 | 天气 |
|---|---|
| 北京 | 晴 |

```python
def f():
    return 1
```

[链接](https://example.com/a) 结束👩‍💻。"""


def button(phone):
    return phone.page.locator("wx-button.send, [class*='--send']").first.inner_text().strip()


def bottom_distance(phone):
    return phone.js("""() => { const each = document.querySelector('.list');
        return each.scrollHeight - each.clientHeight - each.scrollTop; }""")


def ended(phone):
    """Wait until the last answer has its tools."""
    phone.page.wait_for_function(
        "() => { const { turns } = phone.page().data; return turns.length && turns[turns.length - 1].ended; }"
    )


@pytest.fixture
def chat(phone):
    return phone.open()


def test_the_empty_page_offers_questions_from_the_server(chat, backend):
    chat.see("你好，我是 AI 助手", "你能做什么？", "你是谁？")
    chat.tap("你是谁？")
    chat.see("回答：你是谁？")
    assert "你是谁？" in backend.cogito.questions
    chat.gone("你能做什么？")


def test_the_button_goes_from_send_to_stop_and_back(chat, backend):
    assert button(chat) == "发送"
    backend.cogito.will(pieces=["这是", "一个", "回答"], hold_at=1)
    chat.ask("你好，在吗")
    chat.page.wait_for_function("() => phone.page().data.stage === 'answering'")
    assert button(chat) == "停止"
    backend.cogito.release()
    chat.see("这是一个回答")
    ended(chat)
    assert button(chat) == "发送"


def test_the_button_says_sending_until_the_server_has_the_question(chat):
    chat.see("你能做什么？")
    chat.js("""() => {
        const send = window.fetch;
        const held = new Promise((go) => { window.go = go; });
        window.fetch = async (url, ...rest) => {
            if (url.endsWith('/api/chat')) await held;
            return send(url, ...rest);
        };
    }""")
    chat.ask("你好，在吗")
    chat.see("发送中")
    chat.js("() => window.go()")
    chat.see("回答：你好，在吗")


def test_dots_show_the_moment_a_question_is_sent_and_a_caret_while_it_is_answered(chat, backend):
    backend.cogito.will(pieces=["开头几个字", "结尾"], hold_at=0)
    chat.ask("你好，在吗")
    chat.page.get_by_label("正在回答").wait_for()
    chat.see("你好，在吗")
    assert chat.field().input_value() == ""
    chat.page.wait_for_function("() => phone.page().data.stage === 'answering'")
    backend.cogito.release()
    ended(chat)
    assert chat.page.get_by_label("正在回答").count() == 0
    assert chat.page.locator("[class*='--live']").count() == 0, "no caret once it is done"


def test_a_caret_stands_at_the_end_while_text_comes(chat, backend):
    backend.cogito.will(pieces=["开头几个字", "结尾"], hold_at=1)
    chat.ask("你好，在吗")
    chat.see("开头几个字")
    chat.page.locator("[class*='--live']").first.wait_for()


def test_markdown_is_shown_natively_and_streamed_as_such(chat, backend):
    backend.cogito.will(pieces=[TOUR[at : at + 4] for at in range(0, len(TOUR), 4)], every=0.005)
    chat.ask("给我看看 Markdown")
    chat.see("结束👩‍💻", "一级标题", "公式 x²+a/b", "引用的话", "def f():", within=15)
    ended(chat)
    text = chat.text()
    assert not any(mark in text for mark in ("# 一级", "**", "|---", "```", "](http", "$x")), text
    assert [
        chat.page.locator(f"[class*='--{kind}']").count() > 0
        for kind in ("h1", "strong", "code-box", "table", "quote")
    ]
    assert "python" in text and "1." in text and "◦" in text


def test_code_is_copied_as_it_is(chat, backend):
    backend.cogito.will_say("```python\ndef f():\n    return 1\n```")
    chat.ask("写一个函数")
    chat.tap("复制代码")
    chat.see("内容已复制")
    assert chat.clipboard() == "def f():\n    return 1"


def test_a_link_is_offered_for_the_browser_not_opened(chat, backend):
    backend.cogito.will_say("请看[这个链接](https://example.com/a)吧")
    chat.ask("有链接吗")
    chat.tap("这个链接")
    chat.see("https://example.com/a")
    chat.tap("复制")
    chat.page.wait_for_function("() => phone.clipboard === 'https://example.com/a'")


def test_a_copied_answer_carries_its_label(chat, backend):
    backend.cogito.will_say("一段可以复制的回答")
    chat.ask("说一段")
    ended(chat)
    chat.tap("复制回答")
    chat.see("内容已复制")
    assert chat.clipboard().startswith("一段可以复制的回答")
    assert LABEL in chat.clipboard()


def test_every_answer_carries_the_label(chat, backend):
    chat.ask("你好，在吗")
    ended(chat)
    assert chat.text().count(LABEL) >= 2, "under the answer, and under the input"


def test_stop_works_where_closing_a_request_does_not_reach_the_server(chat, backend):
    chat.faults(abort_keeps_open=True)
    test_stop_ends_the_answer_here_and_at_the_model(chat, backend)


def test_stop_ends_the_answer_here_and_at_the_model(chat, backend):
    backend.cogito.will(pieces=["已经写的", "部分", "后面"], hold_at=2)
    chat.ask("写一篇长文")
    chat.see("已经写的部分")
    aborted = backend.cogito.aborted
    chat.tap("停止")
    chat.see("已停止", "已经写的部分")
    backend.cogito.wait_for(lambda: backend.cogito.aborted == aborted + 1)
    assert button(chat) == "发送"
    chat.ask("还能再问吗")
    chat.see("回答：还能再问吗")


def test_regenerating_replaces_the_answer(chat, backend):
    backend.cogito.will_say("第一个回答在此")
    chat.ask("说点什么")
    ended(chat)
    backend.cogito.will_say("第二个回答在此")
    chat.tap("重新生成")
    chat.see("第二个回答在此")
    chat.gone("第一个回答在此")
    assert chat.text().count("说点什么") == 1
    ended(chat)
    chat.open()
    chat.see("第二个回答在此")
    assert not chat.shows("第一个回答在此")


def test_the_second_question_carries_the_first(chat, backend):
    backend.cogito.will_say("我记住了，你叫小明")
    chat.ask("我叫小明")
    ended(chat)
    chat.ask("我叫什么名字")
    chat.see("回答：我叫什么名字")
    messages = backend.prompts("我叫什么名字")[-1]
    assert [m["content"] for m in messages if m["role"] != "system"] == [
        "我叫小明",
        "我记住了，你叫小明",
        "我叫什么名字",
    ]


def test_thinking_is_folded_with_its_seconds(chat, backend):
    chat.tap("深度思考")
    backend.cogito.will(reasoning=["先想", "想看"], pieces=["想好了的回答"], hold_at=2)
    chat.ask("为什么天是蓝的")
    chat.see("正在思考…", "先想想看")
    backend.cogito.release()
    chat.see("想好了的回答", "已思考 1 秒")
    ended(chat)
    chat.gone("先想想看")
    chat.tap("已思考 1 秒")
    chat.see("先想想看")
    body = next(b for b in reversed(backend.cogito.requests) if "天是蓝的" in json.dumps(b, ensure_ascii=False))
    assert "thinking" in body["messages"][0]["content"].lower()


def test_an_answer_is_rated_and_a_bad_one_gets_a_reason(chat, backend):
    chat.ask("说点什么")
    ended(chat)
    chat.tap("有帮助")
    chat.find("已点赞，再点取消")
    chat.tap("没有帮助")
    chat.tap("答非所问")
    chat.tap("提交")
    chat.see("谢谢你的反馈")
    turn = chat.js("() => phone.page().thread.turns[0].turnId")
    row = backend.row(turn)
    assert (row.rating, row.rating_reason) == ("down", "答非所问")
    chat.open()
    chat.tap("已点踩，再点取消")
    chat.find("没有帮助")
    chat.page.wait_for_function("() => phone.requests.running.size === 0")
    assert backend.row(turn).rating is None


def test_a_complaint_reaches_the_staff(chat, backend):
    chat.ask("说点什么")
    ended(chat)
    chat.tap("举报这条回答")
    chat.tap("虚假误导")
    chat.type("日期不对", into="补充说明")
    chat.tap("提交")
    chat.see("举报已收到", "受理编号")


def test_the_list_follows_the_text_until_somebody_scrolls_up(chat, backend):
    lines = [f"第 {n} 行\n\n" for n in range(60)]
    backend.cogito.will(pieces=lines, hold_at=40)
    chat.ask("写很多行")
    chat.see("第 39 行")
    chat.page.wait_for_function("""() => { const list = document.querySelector('.list');
        return list.scrollHeight - list.clientHeight - list.scrollTop < 40; }""")
    chat.swipe(500)
    chat.find("回到底部")
    before = bottom_distance(chat)
    backend.cogito.release()
    ended(chat)
    assert bottom_distance(chat) > before, "what is being read stays where it is"
    chat.tap("回到底部")
    chat.page.wait_for_function("""() => { const list = document.querySelector('.list');
        return list.scrollHeight - list.clientHeight - list.scrollTop < 40; }""")


def test_a_long_question_and_emoji_arrive_whole(chat, backend):
    question = "长" * 1500 + "👩‍💻🇨🇳"
    backend.cogito.will_say("收到了👩‍💻🇨🇳，很长")
    chat.faults(split_bytes=1)
    chat.ask(question)
    chat.see("收到了👩‍💻🇨🇳，很长")
    assert question in backend.cogito.questions


def test_too_long_a_question_is_refused_in_words_and_stays(chat):
    chat.type("长" * 2100)
    chat.see("超出 100 字")
    chat.tap("发送")
    chat.see("问题太长了，最多 2000 个字")
    assert len(chat.field().input_value()) == 2100


def test_a_question_can_be_copied_or_asked_again_differently(chat):
    chat.ask("第一种问法")
    ended(chat)
    chat.long_press("我：第一种问法")
    chat.tap("修改后再问")
    assert chat.field().input_value() == "第一种问法"


def test_enter_sends(chat):
    chat.type("按回车发送")
    chat.press_enter()
    chat.see("回答：按回车发送")


def test_sharing_tells_nothing_of_the_conversation(chat):
    chat.ask("我的秘密问题")
    ended(chat)
    card = chat.share()
    assert card["path"] == "/pages/chat/chat" and card["imageUrl"]
    assert "秘密" not in json.dumps(card, ensure_ascii=False)


def test_a_new_conversation_begins_empty(chat, backend):
    chat.ask("旧的对话")
    ended(chat)
    chat.tap("新对话")
    chat.see("你能做什么？")
    chat.gone("旧的对话")
    chat.ask("新的对话")
    chat.see("回答：新的对话")
    assert len(backend.prompts("新的对话")[-1]) == len(backend.prompts("旧的对话")[-1])


def test_screen_readers_have_names_for_everything(chat):
    chat.ask("说点什么")
    ended(chat)
    nameless = chat.js("""() => [...document.querySelectorAll('[role=button], wx-button')]
        .filter((each) => each.checkVisibility() && !each.innerText.trim() && !each.getAttribute('aria-label'))
        .map((each) => each.className)""")
    assert nameless == []
