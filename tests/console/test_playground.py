"""试聊: a draft is tried, and what is shown is what happened."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from core.store import content
from core.tables import TurnRow
from tests.console.conftest import MASKED, REFUSED, Office, handlers, queue_join
from tests.scripts import Script
from tests.server import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Enter = Callable[..., Any]


def talk(page: "Page") -> "Page":
    """A new conversation, where one was shown before."""
    if lane(page).locator(".asked").count():
        page.get_by_role("button", name="新对话").click()
        lane(page).locator(".asked").first.wait_for(state="detached")
    return page


def play(page: "Page", question: str) -> None:
    box = page.locator("#question textarea")
    box.fill(question)
    box.press("Enter")


def lane(page: "Page", name: str = "a") -> "Locator":
    return page.locator(f"#lane-{name}")


def answered(page: "Page", text: str, name: str = "a") -> None:
    """Wait until this text is in an answer's bubble and its figures are there."""
    lane(page, name).locator(".answered").filter(has_text=text).last.wait_for()
    lane(page, name).locator(".figures").wait_for()


def test_an_answer_appears_while_it_is_written_and_can_be_stopped(office: Office, enter: Enter) -> None:
    office.cogito.will(pieces=["第一句。", "第二句。"], hold_at=1)
    page = talk(enter("小李", again=True))
    play(page, "讲个长的")
    lane(page).locator(".answered").filter(has_text="第一句。").wait_for()
    assert office.cogito.active == 1
    page.get_by_role("button", name="停止").click()
    lane(page).locator(".chip").filter(has_text="已停止").wait_for()
    office.cogito.wait_for(lambda: office.cogito.active == 0, 2)
    assert "第二句" not in lane(page).inner_text()


def test_words_of_the_filter_are_marked_and_a_blocked_question_is_told(office: Office, enter: Enter) -> None:
    office.cogito.will_say(f"这里有{MASKED}和**别的**。")
    page = talk(enter("小李", again=True))
    play(page, f"什么是{MASKED}")
    answered(page, "这里有**和**别的**。")
    assert lane(page).locator(".asked mark").inner_text() == MASKED
    assert lane(page).locator(".answered mark").get_attribute("title") == MASKED
    assert lane(page).locator(".notes").inner_text().replace("\n", " ") == "问题打码：打码词 回答打码：打码词"
    calls = office.cogito.calls
    play(page, f"说说{REFUSED}")
    page.get_by_text("问题命中拦截词“拦截词”，没有发给模型。").wait_for()
    assert office.cogito.calls == calls


def test_html_in_questions_and_answers_stays_text(office: Office, enter: Enter) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>![x](http://evil.example/y.png)"
    office.cogito.will_say(evil)
    page = talk(enter("小李", again=True))
    play(page, evil)
    answered(page, evil)
    assert lane(page).locator(".asked").inner_text() == evil
    assert page.locator(".talk img, .talk script").count() == 0


def test_a_draft_becomes_a_version(office: Office, enter: Enter) -> None:
    page = talk(enter("小李", again=True))
    page.get_by_label("系统提示词").first.fill("说话像老朋友。")
    page.get_by_placeholder("备注：改了什么").fill("更亲切")
    page.get_by_role("button", name="存为新版本").click()
    page.get_by_text("到“提示词”里发布后才会上线").wait_for()
    newest = office.database.read(content.prompt_versions)[0]
    assert (newest.text, newest.note, newest.author) == ("说话像老朋友。", "更亲切", "小李")


def test_a_version_is_brought_here_from_the_tab_of_prompts(office: Office, enter: Enter) -> None:
    number = office.database.write(content.add_prompt, "带过来的提示词", "带过来的资料", "", "王店长")
    page = talk(enter("小李", again=True))
    page.get_by_role("tab", name="提示词").click()
    page.get_by_role("button", name=f"第 {number} 版").click()
    page.get_by_role("button", name="在试聊中打开").click()
    prompt = page.get_by_label("系统提示词").first
    prompt.wait_for()
    wait_until(lambda: prompt.input_value() == "带过来的提示词", what="the version in 试聊")
    assert page.get_by_label("品牌资料").first.input_value() == "带过来的资料"
    assert f"第 {number} 版" in page.get_by_label("从哪一版开始").first.input_value()


def test_a_draft_is_asked_with_its_prompt_its_facts_and_its_dials(office: Office, enter: Enter) -> None:
    office.cogito.will_say("周一到周五", "九点到六点。")
    page = talk(enter("小李", again=True))
    page.get_by_label("系统提示词").first.fill("你是店员。")
    page.get_by_label("品牌资料").first.fill("营业时间九点到六点。")
    page.get_by_label("温度").first.fill("0.3")
    page.get_by_label("top-p").first.fill("0.9")
    page.get_by_label("最多 token").first.fill("120")
    page.get_by_label("深度思考").first.check()
    play(page, "几点开门？")
    answered(page, "周一到周五九点到六点。")
    sent = office.cogito.requests[-1]
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.3, 0.9, 120)
    system = sent["messages"][0]["content"]
    assert system.startswith("Enable deep thinking subroutine.") and "你是店员。" in system
    assert "营业时间九点到六点。" in system
    figures = lane(page).locator(".figures").inner_text()
    assert re.search(r"首字 [\d.]+ 秒 · 共 [\d.]+ 秒 · \d+ → \d+ token", figures)

    office.cogito.will_say("要带身份证。")
    play(page, "要带什么？")
    answered(page, "要带身份证。")
    page.get_by_text("实际发给模型的内容").first.click()
    lane(page).locator(".message pre", has_text="要带什么？").wait_for()
    shown = lane(page).locator(".message pre").all_inner_texts()
    assert shown == [one["content"] for one in office.cogito.requests[-1]["messages"]]
    assert shown[1:] == ["几点开门？", "周一到周五九点到六点。", "要带什么？"]


def test_two_drafts_answer_one_question_side_by_side(office: Office, enter: Enter) -> None:
    office.cogito.default = say_prompt
    page = enter("小李")
    page.get_by_label("系统提示词").first.fill("甲方案")
    page.get_by_label("两个草稿对比").check()
    second = lane(page, "b").get_by_label("系统提示词")
    second.wait_for()
    wait_until(lambda: second.input_value() == "甲方案", what="the copy of the first draft")
    second.fill("乙方案")
    play(page, "你好")
    answered(page, "按甲方案回答")
    answered(page, "按乙方案回答", "b")
    # On a phone the answers still follow one another, and the drafts come after both.
    page.set_viewport_size({"width": 390, "height": 844})
    parts = [lane(page, name).locator(part) for part in (".talk-box", ".dials") for name in "ab"]
    tops = [part.evaluate("element => element.getBoundingClientRect().top") for part in parts]
    assert tops == sorted(tops)


def say_prompt(body: dict[str, Any]) -> Script:
    return Script(pieces=[f"按{body['messages'][0]['content']}回答"])


def test_turns_of_the_console_are_told_apart_and_name_their_version(office: Office, enter: Enter) -> None:
    number = office.database.write(content.add_prompt, "第几版？", "", "给测试", "王店长")
    page = enter("小李")
    chosen = page.get_by_label("从哪一版开始").first
    chosen.click()
    page.get_by_role("option", name=f"第 {number} 版").click()
    wait_until(lambda: page.get_by_label("系统提示词").first.input_value() == "第几版？")
    play(page, "这是哪一版")
    lane(page).locator(".figures", has_text=f"第 {number} 版").wait_for()
    query = select(TurnRow.channel, TurnRow.prompt_version).where(TurnRow.question == "这是哪一版")
    row = office.database.read(lambda connection: connection.execute(query).one())
    assert tuple(row) == ("console", number)


def test_a_viewer_runs_nothing_by_hand(office: Office) -> None:
    calls = office.cogito.calls
    number, _ = handlers(office)["editor__Lane_ask"]
    told = queue_join(office, "小陈", number, ["你好", None, None, "", "", "", "", 100, 5, False])
    assert told["output"]["error"] == "你的账号没有这个权限。"
    assert office.cogito.calls == calls


def test_on_a_phone_the_answer_is_in_sight(office: Office, enter: Enter) -> None:
    page = enter("小李", width=390, height=844)
    play(page, "看得见吗[say:看得见，没有挡住。]")
    answered(page, "看得见，没有挡住。")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.talk .bubble')].pop().getBoundingClientRect().bottom"
        " <= document.getElementById('ask-row').getBoundingClientRect().top"
    )
