"""The pages beside the chat: conversations, settings, privacy, complaints."""

import pytest

from tests.miniprogram.test_chat import ended


@pytest.fixture
def chat(phone):
    return phone.open()


def talk(phone, *questions):
    """A conversation for each question."""
    for question in questions:
        if phone.data()["turns"]:
            phone.tap("新对话")
            phone.see("你能做什么？")
        phone.ask(question)
        ended(phone)


def test_conversations_are_listed_newest_first_and_opened(chat):
    talk(chat, "第一个话题", "第二个话题")
    chat.tap("全部对话与设置")
    chat.see("第一个话题", "第二个话题", "当前")
    text = chat.text()
    assert text.index("第二个话题") < text.index("第一个话题")
    chat.tap("打开对话：第一个话题")
    chat.see("回答：第一个话题")
    assert not chat.shows("第二个话题")


def test_conversations_come_from_the_server_to_a_new_phone(chat, new_phone):
    talk(chat, "换手机前的话")
    other = new_phone(openid=chat.openid).open()
    other.tap("全部对话与设置")
    other.tap("打开对话：换手机前的话")
    other.see("回答：换手机前的话")


def test_a_conversation_is_renamed(chat, backend):
    talk(chat, "原来的名字")
    chat.tap("全部对话与设置")
    chat.tap("管理对话：原来的名字")
    chat.tap("重命名")
    chat.page.locator(".wx-dialog-input").fill("新的名字")
    chat.tap("确定")
    chat.see("新的名字")
    chat.gone("原来的名字")
    chat.open("pages/conversations/conversations")
    chat.see("新的名字")


def test_a_conversation_is_deleted(chat):
    talk(chat, "留下的话题", "删掉的话题")
    chat.tap("全部对话与设置")
    chat.tap("管理对话：删掉的话题")
    chat.tap("删除")
    chat.see("删除后无法恢复")
    chat.tap("删除")
    chat.gone("删掉的话题")
    chat.back()
    chat.see("你能做什么？")
    chat.open("pages/conversations/conversations")
    chat.see("留下的话题")
    assert not chat.shows("删掉的话题")


def test_conversations_are_searched_in_titles_and_texts(chat, backend):
    backend.cogito.will_say("熊猫住在四川的山里")
    talk(chat, "动物问题", "做饭问题")
    chat.tap("全部对话与设置")
    chat.see("动物问题", "做饭问题")
    chat.type("做饭", into="搜索对话")
    chat.gone("动物问题")
    chat.type("熊猫", into="搜索对话")
    chat.see("动物问题")
    chat.type("不存在的词", into="搜索对话")
    chat.see("没有找到相关的对话")
    chat.tap("清除搜索")
    chat.see("做饭问题")


def test_without_a_network_the_list_is_what_the_phone_has(chat):
    talk(chat, "断网前的话题")
    chat.tap("全部对话与设置")
    chat.see("断网前的话题")
    with chat.offline():
        chat.open("pages/conversations/conversations")
        chat.faults(offline=True)
        chat.see("断网前的话题")


def test_a_complaint_is_two_taps_away(chat):
    talk(chat, "会被投诉的问题")
    chat.tap("全部对话与设置")
    chat.tap("投诉与反馈")
    assert chat.route() == "pages/feedback/feedback"
    chat.tap("虚假误导")
    chat.type("里面的日期不对", into="具体情况")
    chat.tap("提交")
    chat.see("已收到")
    chat.tap("确定")
    chat.page.wait_for_function("() => phone.page().route === 'pages/conversations/conversations'")


def test_the_about_page_says_what_there_is_to_know(chat, backend):
    talk(chat, "随便问问")
    chat.open("pages/about/about")
    chat.see(
        "内容由 AI 生成",
        "用户编号",
        "今天已提问",
        "使用的模型",
        "cogito",
        "用户须知与隐私说明",
        "退出登录",
        "删除我的数据",
    )
    chat.tap("用户须知与隐私说明")
    chat.see("关于 AI 生成的内容", "我们收集什么，用来做什么", "麦克风", "剪切板", "14 周岁")


def test_logging_out_clears_the_phone_and_logs_nobody_in_behind_their_back(chat):
    talk(chat, "退出前的话")
    chat.open("pages/about/about")
    chat.tap("退出登录")
    chat.see("手机里存的对话会清除")
    chat.tap("退出")
    chat.see("你已退出登录")
    assert not chat.shows("退出前的话")
    chat.open()
    chat.see("你已退出登录")
    assert chat.calls("login") == []
    chat.tap("重新登录")
    chat.gone("你已退出登录")
    chat.tap("全部对话与设置")
    chat.see("退出前的话")


def test_erasing_leaves_nothing_here_or_on_the_server(chat, new_phone):
    talk(chat, "要忘掉的话")
    chat.open("pages/about/about")
    chat.tap("删除我的数据")
    chat.see("无法恢复")
    chat.tap("删除")
    chat.see("你的数据已经删除")
    chat.tap("确定")
    chat.see("你已退出登录")
    assert "要忘掉的话" not in str(chat.js("() => ({ ...localStorage })"))
    again = new_phone(openid=chat.openid).open("pages/conversations/conversations")
    again.see("还没有对话")


@pytest.mark.parametrize("page", ["conversations", "about", "privacy", "feedback"])
def test_a_page_opened_by_itself_works(phone, page):
    phone.open(f"pages/{page}/{page}")
    assert phone.route() == f"pages/{page}/{page}"
    assert phone.text().strip()
