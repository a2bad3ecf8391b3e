"""WeChat's own check of texts (WECHAT_MSG_SEC_CHECK), by a desk simulator: 违规 is risky, 疑似 wants a human."""

import io
import json
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
import requests
from sqlalchemy import select, update

from core.errors import ContentBlocked
from core.screening import Gate, Verdict
from core.settings import SIMULATOR_APPID, SIMULATOR_OFFICIAL_APPID, SIMULATOR_SECRET
from core.tables import ComplaintRow, UserRow
from tests.house import House, housing, problem
from tests.loopback import serving
from wechat.sec_check import MAX_CHARS, MsgSecCheck, parts
from wechat.simulator.account import Account
from wechat.simulator.app import create_simulator

CHECK = "/wxa/msg_sec_check"


class WeChat:
    """A simulator that remembers which texts it was asked about."""

    def __init__(self) -> None:
        accounts = {SIMULATOR_APPID: SIMULATOR_SECRET, SIMULATOR_OFFICIAL_APPID: SIMULATOR_SECRET}
        self._app = create_simulator(accounts, Account(SIMULATOR_OFFICIAL_APPID))
        self.asked: list[str] = []
        self.url = ""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == CHECK:
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(body)
            self.asked.append(json.loads(body)["content"])
        return self._app(environ, start_response)

    def fault(self, **how: Any) -> None:
        requests.post(f"{self.url}/desk/faults", json={"path": CHECK, "times": 1000, **how}, timeout=10)

    def mend(self) -> None:
        requests.delete(f"{self.url}/desk/faults", timeout=10)


@pytest.fixture(scope="module")
def _wechat() -> Iterator[WeChat]:
    wechat = WeChat()
    with serving(wechat) as wechat.url:
        yield wechat


@pytest.fixture
def wechat(_wechat: WeChat) -> Iterator[WeChat]:
    _wechat.asked.clear()
    yield _wechat
    _wechat.mend()


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory, _wechat: WeChat) -> Iterator[House]:
    """`api` is open, `other` closed."""
    settings: list[dict[str, Any]] = [{"wechat_msg_sec_check": mode} for mode in ("open", "closed")]
    with housing(tmp_path_factory.mktemp("screened"), _wechat.url, *settings) as house:
        yield house


def reviews(house: House, turn_id: str) -> list[Any]:
    query = select(ComplaintRow.__table__).where(ComplaintRow.turn_id == int(turn_id))
    return list(house.database.read(lambda connection: connection.execute(query).all()))


def test_a_harmless_question_and_its_answer_pass_sentence_by_sentence(screened: House, wechat: WeChat) -> None:
    user = screened.login()
    screened.cogito.when("三句", pieces=["第一句。第", "二句！第三", "句没有句号"], every=0.05)
    stream = user.stream("请说三句话").to_end()
    assert stream.last[0] == "done"
    assert stream.text == "第一句。第二句！第三句没有句号"
    assert [data["text"] for name, data in stream.events if name == "delta"] == [
        "第一句。",
        "第二句！",
        "第三句没有句号",
    ]
    assert wechat.asked == ["请说三句话", "第一句。", "第二句！", "第三句没有句号"]


def test_a_risky_question_is_refused_before_it_is_stored(screened: House, wechat: WeChat) -> None:
    user = screened.login()
    problem(user.ask("这是违规的问题"), 422, "content_blocked")
    problem(user.ask("这是违规的问题", stream=True), 422, "content_blocked")
    told = [
        {"role": "user", "content": "违规"},
        {"role": "assistant", "content": "好"},
        {"role": "user", "content": "再说"},
    ]
    problem(user.post("/chat", {"messages": told}), 422, "content_blocked")
    assert user.get("/api/conversations").json()["conversations"] == []
    assert user.get("/api/me").json()["quota"]["used_today"] == 0
    assert screened.calls("违规") == screened.calls("再说") == 0


def test_a_risky_sentence_is_never_shown_and_ends_the_answer(screened: House, wechat: WeChat) -> None:
    user = screened.login()
    screened.cogito.when("讲个故事", pieces=["开头很好。", "然后违规了", "。不该看到的结尾。"], every=0.05)
    stream = user.stream("讲个故事吧").to_end()
    name, data = stream.last
    assert (name, data["code"]) == ("error", "content_blocked")
    seen = "".join(data["text"] for name, data in stream.events if name == "delta")
    assert seen == "开头很好。"
    turn = user.get(f"/api/turns/{stream.turn_id}").json()
    assert (turn["status"], turn["reply"], turn["reasoning"], turn["code"]) == ("blocked", "", "", "content_blocked")
    assert user.at(screened.other.url).get(f"/api/turns/{stream.turn_id}").json()["reply"] == ""
    assert "内容安全接口" in screened.row(stream.turn_id).hits, "staff see why"
    problem(user.ask("讲个故事吧"), 422, "content_blocked")


def test_what_is_thought_is_checked_as_well(screened: House, wechat: WeChat) -> None:
    user = screened.login()
    screened.cogito.when("想一想", reasoning=["我想到", "违规的事。"], pieces=["没事"])
    stream = user.stream("想一想").to_end()
    assert stream.last[1]["code"] == "content_blocked"
    assert not any(name in ("reasoning", "delta") for name, _ in stream.events)


def test_review_passes_and_goes_to_the_queue_of_staff_once(screened: House, wechat: WeChat) -> None:
    user = screened.login()
    asked = user.ask("疑似的问题", client_request_id="r").json()
    assert asked["reply"] == "回答：疑似的问题"
    user.ask("疑似的问题", client_request_id="r")
    (entry,) = reviews(screened, asked["turn_id"])
    assert (entry.kind, entry.state, entry.question) == ("review", "open", "疑似的问题")
    screened.cogito.when("小心一点", pieces=["疑似一。", "疑似二。"], every=0.05)
    answered = user.ask("小心一点").json()
    assert answered["reply"] == "疑似一。疑似二。"
    (entry,) = reviews(screened, answered["turn_id"])
    assert (entry.kind, entry.answer) == ("review", "疑似一。疑似二。")


@pytest.mark.parametrize("fault", [{"errcode": 61010}, {"errcode": -1}, {"http_status": 502}, {"delay": 2}])
def test_without_an_answer_within_a_second_open_passes_and_closed_withholds(
    screened: House, wechat: WeChat, fault: dict[str, Any]
) -> None:
    user = screened.login()
    wechat.fault(**fault)
    began = time.monotonic()
    assert user.ask("没人审核").json()["reply"] == "回答：没人审核"
    assert time.monotonic() - began < 3.5
    began = time.monotonic()
    problem(user.at(screened.other.url).ask("没人审核"), 422, "content_blocked")
    assert time.monotonic() - began < 2


def test_closed_withholds_an_answer_that_cannot_be_checked(screened: House, wechat: WeChat) -> None:
    user = screened.login().at(screened.other.url)
    stream = user.stream("先好后坏[tokens:3@0.4]")
    stream.until("start")
    wechat.fault(http_status=500)
    stream.to_end()
    assert stream.last[1]["code"] == "content_blocked"
    assert not any(name == "delta" for name, _ in stream.events)


def test_stopping_is_as_quick_as_ever_and_keeps_what_has_passed(screened: House, wechat: WeChat) -> None:
    user = screened.login()
    screened.cogito.when("慢慢写", pieces=["写好的一句。", "没写完的"], hold_at=2)
    stream = user.stream("慢慢写吧")
    stream.until("delta")
    began = time.monotonic()
    stopped = user.post(f"/api/turns/{stream.turn_id}/stop").json()
    assert time.monotonic() - began < 1
    assert (stopped["status"], stopped["reply"]) == ("stopped", "写好的一句。没写完的")


def test_somebody_out_of_quota_costs_no_check(screened: House, wechat: WeChat) -> None:
    user = screened.login()
    limited = update(UserRow).where(UserRow.id == int(user.user_id)).values(per_day=1)
    screened.database.write(lambda connection: connection.execute(limited))
    user.ask("唯一一次")
    wechat.asked.clear()
    problem(user.ask("再来一次"), 429, "quota_exceeded")
    assert wechat.asked == []


def test_it_is_off_unless_it_is_on(house: House) -> None:
    assert house.login().ask("违规也不管").json()["reply"] == "回答：违规也不管"


# The parts by themselves


class Judge:
    def __init__(self, **verdicts: Verdict) -> None:
        self.verdicts = verdicts
        self.asked: list[str] = []

    def covers(self, channel: str) -> bool:
        return True

    def judge(self, user_id: int, text: str) -> Verdict:
        self.asked.append(text)
        return next((verdict for word, verdict in self.verdicts.items() if word in text), "pass")


@pytest.mark.parametrize("size", [1, 3, 50])
def test_a_gate_lets_out_exactly_what_went_in(size: int) -> None:
    text = "你好！今天 3.14 度。“真的吗？”他问……\n是的. Yes.\n" + "没有句号" * 200 + "完"
    judge = Judge()
    gate = Gate(judge, 1)
    out = [gate.feed(text[at : at + size]) for at in range(0, len(text), size)] + [gate.flush()]
    assert "".join(out).rstrip() == text.rstrip()
    assert all(len(one) <= 300 + 50 + size for one in judge.asked)
    assert not gate.review


def test_a_gate_sees_a_word_across_the_cut_of_a_long_sentence() -> None:
    gate = Gate(Judge(违规="risky"), 1)
    assert gate.feed("字" * 299 + "违") == "字" * 299 + "违"
    with pytest.raises(ContentBlocked):
        gate.feed("规。")


def test_long_texts_are_cut_into_what_wechat_takes_with_an_overlap() -> None:
    assert parts("短") == ["短"]
    assert parts("") == [""]
    text = "".join(chr(0x4E00 + n % 5000) for n in range(9001))
    pieces = parts(text)
    assert all(len(piece) <= MAX_CHARS for piece in pieces)
    assert pieces[0] + "".join(piece[50:] for piece in pieces[1:]) == text
    assert [len(piece) for piece in parts("x" * MAX_CHARS)] == [MAX_CHARS]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"result": {"suggest": "pass"}}, "pass"),
        ({"result": {"suggest": "review"}}, "review"),
        ({"result": {"suggest": "risky"}}, "risky"),
        ({"result": {"suggest": "maybe"}}, "risky"),
        ({"result": None}, "risky"),
        ({}, "risky"),
    ],
)
def test_a_verdict_nobody_knows_is_none(answer: dict[str, Any], verdict: str) -> None:
    class Platform:
        def call(self, *args: Any, **more: Any) -> dict[str, Any]:
            return answer

    class OneUser:
        def read(self, *args: Any) -> str:
            return "openid"

    for closed, told in ((True, verdict), (False, verdict if answer.get("result") in KNOWN else "pass")):
        check = MsgSecCheck(cast(Any, Platform()), cast(Any, OneUser()), "wx", closed=closed)
        assert check.judge(1, "一句话") == told


KNOWN = [{"suggest": suggest} for suggest in ("pass", "review", "risky")]
