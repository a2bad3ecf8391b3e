"""日志: what was said is found, read with all that is known of it, annotated, and shown as text whatever it says."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert, update

from core.store import complaints, content, reviews, staff, turnindex, turns
from core.tables import JobRow, TurnRow, id_at, now_ms
from tests.console import made
from tests.console.conftest import PASSWORD, Office, go, handlers, queue_join, told
from tests.server import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Enter = Callable[..., Any]
ZONE = "Asia/Shanghai"
HOUR = 3_600_000
EVIL = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>![x](http://evil.example/y.png) ${1+1} {{value}} <b>粗</b>"
)


def logs(page: "Page") -> "Page":
    """Open the tab; where it was open before, its list without any condition."""
    from playwright.sync_api import expect

    go(page, "日志")
    page.locator("#log .pick, #log .empty, #transcript .turn").locator("visible=true").first.wait_for()
    if (back := page.get_by_role("button", name="返回列表")).locator("visible=true").count():
        back.locator("visible=true").click()
    page.get_by_label("文字").fill("条件")
    page.get_by_role("button", name="清空条件").click()
    expect(page.get_by_label("文字")).to_have_value("")
    return page


def searched(page: "Page", expected: list[str]) -> None:
    """Press 查找 until this is listed: what was just typed may still be on its way into the page."""
    for last in (False, False, False, True):
        page.get_by_role("button", name="查找").click()
        try:
            listed(page, expected)
            return
        except TimeoutError:
            if last:
                raise


def more(page: "Page") -> None:
    """Open the rest of the filter's fields."""
    if not page.get_by_label("用户").is_visible():
        page.get_by_text("更多条件").click()


def look_for(page: "Page", words: str) -> None:
    page.get_by_label("文字").fill(words)
    page.get_by_label("文字").press("Enter")


def asked(page: "Page") -> list[str]:
    """The questions on the page of the list."""
    return [text.strip() for text in page.locator("#log .asked-line").all_inner_texts()]


def listed(page: "Page", expected: list[str]) -> None:
    wait_until(lambda: asked(page) == expected, what=f"{expected}, not {asked(page)}")


def choose(page: "Page", label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def opened(page: "Page", question: str) -> "Locator":
    """Open the turn with this question; the chosen turn of the transcript."""
    page.locator("#log .pick", has_text=question).first.click()
    chosen = page.locator("#transcript .chosen")
    chosen.filter(has_text=question).wait_for()
    return chosen


# ---- Finding


def test_the_newest_come_first_page_by_page(office: Office, enter: Enter) -> None:
    someone = made.user(office.database)
    rows = [made.made(someone, f"翻页问题{number}", ago=(number + 1) * 1000) for number in range(60)]
    made.turns(office.database, rows)
    page = logs(enter("小陈", again=True))
    look_for(page, "翻页问题")
    listed(page, [f"翻页问题{number}" for number in range(50)])
    assert page.get_by_role("button", name="更新的").count() == 0
    page.get_by_role("button", name="更早的").click()
    listed(page, [f"翻页问题{number}" for number in range(50, 60)])
    page.get_by_text("第 2 页").wait_for()
    page.get_by_role("button", name="更新的").click()
    listed(page, [f"翻页问题{number}" for number in range(50)])


def test_every_field_of_the_filter_narrows_the_list(office: Office, enter: Enter) -> None:
    someone = made.user(office.database, "oFilter-1")
    masked = [{"word": "暴力", "action": "mask", "start": 0, "end": 2, "in": "question"}]
    ids = {
        name: made.turn(office.database, someone, name, f"{name}的回答", **more)
        for name, more in {
            "普通": {"ago": 9 * HOUR, "prompt_version": 7},
            "慢的": {"ago": 8 * HOUR, "duration_ms": 12_000, "prompt_version": 8},
            "失败的": {"ago": 7 * HOUR, "status": "failed", "code": "model_timeout"},
            "停下的": {"ago": 6 * HOUR, "status": "stopped"},
            "拦下的": {"ago": 5 * HOUR, "status": "blocked", "code": "content_blocked"},
            "打码的": {"ago": 4 * HOUR, "hits": masked, "rating": "down"},
            "公众号的": {"ago": 3 * HOUR, "channel": "official"},
            "没取的": {"ago": 2 * HOUR, "channel": "official"},
            "备注的": {"ago": 1 * HOUR},
        }.items()
    }
    made.delivery(office.database, ids["公众号的"], "rest")
    made.delivery(office.database, ids["没取的"], "rest", ago=30 * HOUR)
    office.database.write(reviews.annotate, ids["备注的"], "小李", note="好", score=5, better_answer=None)
    row = office.database.read(turns.get, ids["普通"])
    office.database.write(complaints.report, someone, row, "不实", channel="miniprogram", timezone=ZONE)
    everything = list(reversed(ids))

    page = logs(enter("小陈", again=True))
    more(page)
    page.get_by_label("用户").fill("oFilter")
    searched(page, everything)
    for name, expected in (("没有这个人", []), ("oFilter", everything)):
        page.get_by_label("用户").fill(name)
        page.get_by_label("用户").press("Enter")
        listed(page, expected)
    for flag, expected in (("慢（10 秒以上）", ["慢的"]), ("投诉", ["普通"]), ("一直没取", ["没取的"])):
        choose(page, "只看", flag)
        listed(page, expected)
        page.get_by_role("button", name="Remove").first.click()
        listed(page, everything)
    choose(page, "只看", "打码")
    choose(page, "只看", "差评")  # all of them
    listed(page, ["打码的"])
    page.get_by_role("button", name="清空条件").click()
    wait_until(lambda: page.get_by_label("用户").input_value() == "", what="the cleared fields")
    page.get_by_label("用户").fill("oFilter")
    searched(page, everything)
    for field, value, expected in (
        ("文字", "慢", ["慢的"]),  # one character
        ("文字", "备注 回答", ["备注的"]),
        ("提示词第几版", "8", ["慢的"]),
        ("慢于（秒）", "11.5", ["慢的"]),
    ):
        page.get_by_label(field).fill(value)
        searched(page, expected)
        page.get_by_label(field).fill("")
    searched(page, everything)
    choose(page, "状态", "已停止")
    listed(page, ["停下的"])
    choose(page, "状态", "不限")
    choose(page, "渠道", "公众号")
    listed(page, ["没取的", "公众号的"])
    choose(page, "渠道", "全部用户")
    page.locator("#since input").fill(moment(5.5))
    page.locator("#until input").fill(moment(3.5))
    searched(page, ["打码的", "拦下的"])
    page.get_by_role("button", name="清空条件").click()
    wait_until(lambda: page.get_by_label("用户").input_value() == "" == page.locator("#since input").input_value())


def moment(hours_ago: float) -> str:
    then = datetime.fromtimestamp(now_ms() / 1000 - hours_ago * 3600, ZoneInfo(ZONE))
    return then.strftime("%Y-%m-%dT%H:%M")


def test_what_a_field_cannot_mean_is_told_and_not_searched(office: Office, enter: Enter) -> None:
    made.turn(office.database, made.user(office.database), "看得见的一问")
    page = logs(enter("小陈", again=True))
    more(page)
    page.get_by_label("慢于（秒）").fill("<b>很久</b>")
    page.get_by_role("button", name="查找").click()
    told(page, "慢于几秒应是 0 到 86400 之间的数")
    page.get_by_label("慢于（秒）").fill("")
    page.locator("#since input").type("2026")
    page.get_by_role("button", name="查找").click()
    told(page, "时间没有填完整")
    assert "看得见的一问" in asked(page)


def test_what_staff_tried_out_is_only_shown_when_it_is_asked_for(office: Office, enter: Enter) -> None:
    someone = made.user(office.database)
    made.turn(office.database, someone, "同一个词：试聊", channel="console", ago=2000)
    made.turn(office.database, someone, "同一个词：用户")
    page = logs(enter("小陈", again=True))
    look_for(page, "同一个词")
    listed(page, ["同一个词：用户"])
    choose(page, "渠道", "只看控制台试聊")
    listed(page, ["同一个词：试聊"])
    choose(page, "渠道", "全部，连同试聊")
    listed(page, ["同一个词：用户", "同一个词：试聊"])


def test_the_text_of_the_erased_is_not_in_the_filter(office: Office, enter: Enter) -> None:
    turn = made.turn(office.database, made.user(office.database), "马上清除的问题")
    page = logs(enter("小陈", again=True))
    look_for(page, "马上清除的问题")
    listed(page, ["马上清除的问题"])
    emptied = update(TurnRow).where(TurnRow.id == turn).values(user_id=None, question="", answer="")
    office.database.write(lambda connection: connection.execute(emptied))
    page.get_by_role("button", name="查找").click()
    page.get_by_text("没有符合条件的对话。").wait_for()


def test_an_index_that_is_being_built_is_told(office: Office, enter: Enter) -> None:
    made.clear(office.database)
    someone = made.user(office.database)
    first = made.turn(office.database, someone, "很久以前", ago=100 * HOUR)
    made.turn(office.database, someone, "还没轮到", ago=60 * HOUR)
    made.turn(office.database, someone, "刚才")
    # The lease is somebody else's: the console's own indexer leaves everything as it is.
    job = {"indexing": now_ms() + 5_000, turnindex.JOB: id_at(now_ms() - 66 * HOUR)}
    rows = [{"name": name, "mark": mark} for name, mark in job.items()]
    office.database.write(lambda connection: connection.execute(insert(JobRow), rows))
    page = logs(enter("小陈", again=True))
    page.get_by_text(re.compile("正在建立搜索索引，已完成 3[34]%")).wait_for()
    free = update(JobRow).where(JobRow.name == "indexing").values(mark=0)
    office.database.write(lambda connection: connection.execute(free))
    wait_until(lambda: office.database.read(turnindex.reached) > first + 40 * HOUR, 15, "the indexer's visit")


# ---- One turn


def test_a_transcript_tells_everything_that_is_known(office: Office, enter: Enter) -> None:
    database, someone = office.database, made.user(office.database, "oTranscript")
    number = made.conversation(database, someone, "问开门")
    talk = {"conversation_id": number, "channel": "official"}
    first = made.turn(database, someone, "几点开门", "九点。", ago=90_000, seq=1, superseded=True, **talk)
    made.turn(database, someone, "几点开门", "九点到六点。", ago=80_000, seq=1, **talk)
    last = made.turn(
        database,
        someone,
        "周末呢",
        "周末也开，节日除外。",
        ago=70_000,
        seq=2,
        prompt_version=3,
        rating="down",
        rating_reason="没说节日",
        duration_ms=11_000,
        hits=[{"word": "节日", "action": "mask", "start": 0, "end": 2, "in": "answer"}],
        **talk,
    )
    made.delivery(database, last, "rest", arrivals=2, shown=4, pushed=1)
    row = database.read(turns.get, last)
    database.write(complaints.report, someone, row, "态度不好", channel="official", timezone=ZONE)

    page = logs(enter("小陈", again=True))
    look_for(page, "周末")
    chosen = opened(page, "周末呢")
    shown = chosen.inner_text()
    for known in (
        "周末也开，节日除外。",
        "首字 0.20 秒 · 共 11.0 秒 · 120 → 30 token · 提示词第 3 版 · Cogito",
        "回答打码：节日",
        "踩",
        "慢",
        "踩的理由：没说节日",
        "微信送达 2 次 · 第 2 次送达时答上 · 已送 4/10 字 · 已推送 1 条 · 还有后文没看",
        "投诉，待处理",
        "态度不好",
    ):
        assert known in shown, (known, shown)
    assert page.locator("#transcript .turn").count() == 3
    assert "oTranscript" in page.locator("body").inner_text()
    assert page.get_by_label("备注").count() == 0  # a viewer only reads
    page.locator("#transcript .turn", has_text="九点。").get_by_role("button", name="看这一轮").click()
    page.locator("#transcript .chosen", has_text="已重新生成").wait_for()
    page.get_by_role("link", name="这一轮的链接").wait_for()
    assert page.get_by_role("link", name="这一轮的链接").get_attribute("href") == f"/?turn={first}"
    page.get_by_role("button", name="只看这个用户").click()
    listed(page, ["周末呢", "几点开门", "几点开门"])


def test_whatever_users_and_staff_write_stays_text(office: Office, enter: Enter) -> None:
    database, someone = office.database, made.user(office.database)
    number = made.conversation(database, someone, EVIL)
    turn = made.turn(
        database, someone, EVIL, EVIL, conversation_id=number, seq=1, rating="down", rating_reason=EVIL, model=EVIL
    )
    database.write(reviews.annotate, turn, "小李", note=EVIL, score=2, better_answer=EVIL)
    row = database.read(turns.get, turn)
    database.write(complaints.report, someone, row, EVIL, channel="miniprogram", timezone=ZONE)
    page = logs(enter("小李", again=True))
    look_for(page, "onerror=alert")
    listed(page, [EVIL[:100]])
    chosen = opened(page, "onerror=alert")
    assert chosen.locator(".asked").inner_text() == EVIL
    assert chosen.locator(".answered .said").inner_text() == EVIL
    assert chosen.inner_text().count(EVIL) == 7  # both, model, reason, complaint, note and better answer
    assert page.locator("#log img, #transcript img, .main script, #transcript b:not([class])").count() == 0
    assert EVIL in page.locator("h3.title").first.inner_text()


# ---- What staff make of it


def test_a_review_is_kept_and_can_be_found(office: Office, enter: Enter) -> None:
    turn = made.turn(office.database, made.user(office.database), "等批注的问题")
    page = logs(enter("小李", again=True))
    look_for(page, "等批注的问题")
    opened(page, "等批注的问题")
    page.get_by_label("备注").fill("没有说清楚")
    page.get_by_label("4", exact=True).check()
    page.get_by_label("更好的回答").fill("这样说更好。")
    page.get_by_role("button", name="保存批注").click()
    told(page, "批注已保存。")
    page.locator("#transcript .review", has_text="小李").filter(has_text="4 分").wait_for()
    row = office.database.read(turns.get, turn)
    assert (row.note, row.score, row.better_answer, row.reviewed_by) == ("没有说清楚", 4, "这样说更好。", "小李")
    entry = office.database.read(staff.operations, 1)[0]
    assert (entry.staff, entry.action, entry.target) == ("小李", "批注", f"问答 {turn}")
    assert "没有说清楚" not in entry.detail  # the log of operations outlives the turn
    page.get_by_role("button", name="返回列表").click()
    page.locator("#log .pick", has_text="有备注").filter(has_text="4 分").wait_for()


def test_of_two_who_review_the_same_turn_the_later_is_warned(office: Office, enter: Enter) -> None:
    turn = made.turn(office.database, made.user(office.database), "两个人都在看的问题")
    page = logs(enter("小李", again=True))
    look_for(page, "两个人都在看的问题")
    opened(page, "两个人都在看的问题")
    office.database.write(reviews.annotate, turn, "王店长", note="店长的话", score=None, better_answer=None)
    page.get_by_label("备注").fill("小李的话")
    page.get_by_role("button", name="保存批注").click()
    told(page, "王店长刚刚也写了批注")
    assert office.database.read(turns.get, turn).note == "店长的话"
    page.locator("#transcript .review", has_text="店长的话").wait_for()
    assert page.get_by_label("备注").input_value() == "小李的话"  # nothing of it is lost
    page.get_by_role("button", name="保存批注").click()
    page.locator("#transcript .review", has_text="小李的话").wait_for()
    assert office.database.read(turns.get, turn).reviewed_by == "小李"


def test_a_turn_becomes_a_keyword_reply(office: Office, enter: Enter) -> None:
    made.turn(office.database, made.user(office.database), "停车方便吗", "门口有停车场，两小时免费。")
    page = logs(enter("小李", again=True))
    look_for(page, "停车方便吗")
    opened(page, "停车方便吗")
    page.get_by_text("做成关键词回复").click()
    assert page.get_by_label("关键词").input_value() == "停车方便吗"
    reply = page.get_by_label("回复", exact=True)
    assert reply.input_value() == "门口有停车场，两小时免费。"
    page.get_by_label("更好的回答").fill("门口可以停车，一小时免费。")
    page.get_by_role("button", name="保存批注").click()
    told(page, "批注已保存")
    page.wait_for_function(  # a reply nobody has touched says what is better
        "() => [...document.querySelectorAll('textarea')].filter(one => one.value.includes('一小时')).length == 2"
    )
    reply.fill("门口有停车场，两小时免费。")
    page.get_by_role("button", name="保存批注").click()
    told(page, "批注已保存")
    assert reply.input_value() == "门口有停车场，两小时免费。"  # what somebody has written stays
    page.get_by_label("关键词").fill("停车")
    page.get_by_label("问题里有这个词").check()
    page.get_by_role("button", name="添加关键词回复").click()
    told(page, "以后公众号里遇到“停车”")
    row = next(row for row in office.database.read(content.keyword_replies) if row.keyword == "停车")
    assert (row.match, row.reply, row.author) == ("contains", "门口有停车场，两小时免费。", "小李")
    page.get_by_role("button", name="添加关键词回复").click()
    told(page, "“停车”已经有回复了")


def test_a_question_is_taken_to_the_playground(office: Office, enter: Enter) -> None:
    question = "再问一次的问题\n有两行"
    made.turn(office.database, made.user(office.database), question)
    page = logs(enter("小李", again=True))
    look_for(page, "再问一次的问题")
    opened(page, "再问一次的问题")
    page.get_by_role("button", name="在试聊中再问一次").click()
    box = page.locator("#question textarea")
    box.wait_for()
    wait_until(lambda: box.input_value() == question)


# ---- Links


def test_a_link_opens_its_turn(office: Office, enter: Enter) -> None:
    someone = made.user(office.database)
    turn, erased = (
        made.turn(office.database, someone, "链接里的问题"),
        made.turn(office.database, None, "", "", ago=0),
    )
    page = enter("小李", path=f"/?turn={turn}")
    page.locator("#transcript .chosen", has_text="链接里的问题").wait_for()
    page.get_by_role("button", name="保存批注").wait_for()
    page.get_by_role("button", name="返回列表").click()
    page.locator("#log .pick", has_text="链接里的问题").first.wait_for()
    page.get_by_role("button", name="导出 CSV").wait_for()

    page.goto(f"{office.url}/?turn={erased}")  # is shown as one, and takes no words of staff
    page.get_by_text("已清除的用户").first.wait_for()
    assert page.get_by_role("button", name="保存批注").count() == 0
    page.goto(f"{office.url}/?turn=12345")
    told(page, "链接里的这一轮对话已经不在了。")


def test_a_link_outlasts_the_log_in(office: Office, page: "Page") -> None:
    turn = made.turn(office.database, made.user(office.database), "先登录再看的问题")
    page.goto(f"{office.url}/?turn={turn}&next=//evil.example")
    assert page.url == f"{office.url}/login?turn={turn}"
    page.get_by_label("账号").fill("小陈")
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    page.locator("#transcript .chosen", has_text="先登录再看的问题").wait_for()
    assert page.url == f"{office.url}/?turn={turn}"


def test_a_row_that_nobody_has_is_refused_and_no_bug(office: Office) -> None:
    number, inputs = handlers(office)["viewer__Logs_pick"]
    for pick in ("", "x", "-1", "9" * 30, "12345", None, {"a": 1}):
        answer = queue_join(office, "小陈", number, inputs, event={"pick": pick})
        assert answer["output"]["error"] == "没有找到，可能已经删除了。", pick
