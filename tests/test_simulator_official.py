"""The desk simulator as the platform of an official account: its rules for deliveries, replies and messages."""

import itertools
import json
import time

import pytest
import requests
from flask import Flask, Response, request

from tests.loopback import serving
from wechat.simulator.account import Account
from wechat.simulator.app import create_simulator
from wechat.simulator.pushes import FAILURE


class Server:
    """A callback that does as it is told: a list of (seconds, body, status), the last one for good."""

    def __init__(self):
        self.script, self.seen = [(0, "success", 200)], []
        self.app = Flask("callback")

        @self.app.post("/cb")
        def callback():
            self.seen.append((dict(request.args), request.get_data(as_text=True), dict(request.headers)))
            seconds, said, status = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            time.sleep(seconds)
            return Response(said, status)


def xml(text="好", to="o1", sender="gh_desk0000000001", kind="text"):
    return (
        f"<xml><ToUserName>{to}</ToUserName><FromUserName>{sender}</FromUserName><CreateTime>1</CreateTime>"
        f"<MsgType>{kind}</MsgType><Content>{text}</Content></xml>"
    )


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def desk(server):
    account = Account("wx2", token="t", cut_seconds=0.6, may_push=True)
    app = create_simulator({"wx2": "s"}, account)
    with serving(server.app) as callback, serving(app) as url:
        account.callback = f"{callback}/cb"
        app.extensions["official"].url = url
        yield app.extensions["official"]
        app.extensions["official"].wait_until_quiet(5)


def say(desk, text="在吗", openid="o1"):
    message = desk.say(openid, text)
    assert message.done.wait(10)
    return message


def outcomes(message):
    return [attempt.outcome for attempt in message.attempts]


def shown(desk, openid="o1"):
    time.sleep(0.1)
    return [(line.who, line.text) for line in desk.chats.after(openid, 0)][1:]


def test_a_good_reply_is_shown(desk, server):
    server.script = [(0, xml("你好"), 200)]
    assert outcomes(say(desk)) == ["answered"]
    assert shown(desk) == [("them", "你好")]


def test_a_silent_server_is_asked_three_times_with_the_same_request(desk, server):
    server.script = [(1, "", 200)]
    message = say(desk)
    assert outcomes(message) == ["timeout"] * 3
    assert len({str(seen[:2]) for seen in server.seen}) == 1
    assert shown(desk) == [("notice", FAILURE)]
    began = [attempt.began for attempt in message.attempts]
    assert all(0.55 < later - earlier < 0.9 for earlier, later in itertools.pairwise(began))


def test_another_status_is_asked_again_at_once(desk, server):
    server.script = [(0, xml(), 201)]
    began = time.monotonic()
    assert outcomes(say(desk)) == ["http 201"] * 3
    assert time.monotonic() - began < 0.6
    assert shown(desk) == [("notice", FAILURE)]


def test_four_deliveries_where_an_account_has_four(desk, server):
    desk.account.attempts = 4
    server.script = [(1, "", 200), (1, "", 200), (1, "", 200), (0, xml("第四次"), 200)]
    assert outcomes(say(desk)) == ["timeout"] * 3 + ["answered"]


def test_success_and_nothing_show_nothing(desk, server):
    for said in ("success", ""):
        server.script = [(0, said, 200)]
        assert say(desk).verdict.kind == "nothing"


@pytest.mark.parametrize(
    "said",
    [
        "hello",
        "{}",
        "<xml>",
        xml(to="o2"),
        xml(sender="gh_other"),
        xml(""),
        xml("字" * 700),
        xml(kind="image"),
        "<xml><a>1</a><a>2</a></xml>",
        xml() + "x",
    ],
)
def test_an_abnormal_reply_is_a_failure_and_final(desk, server, said):
    server.script = [(0, said, 200)]
    message = say(desk)
    assert (outcomes(message), message.verdict.kind) == (["answered"], "failure")
    assert message.verdict.why


def test_overlapping_deliveries(desk, server):
    desk.account.overlap, desk.account.cut_seconds = True, 1.2
    server.script = [(1.1, xml("慢"), 200)]
    message = say(desk)
    assert message.verdict.text == "慢"
    assert len(message.attempts) > 1
    assert message.attempts[1].began < message.attempts[0].end


def test_a_server_that_fails_too_often_is_muted(desk, server):
    desk.account.mute_after = 3
    server.script = [(0, "", 500)]
    say(desk)
    server.script = [(0, xml(), 200)]
    assert say(desk).verdict.why == "muted"
    assert shown(desk)[-1] == ("notice", FAILURE)


def test_events_fail_silently(desk, server):
    server.script = [(0, "nonsense", 200)]
    desk.event("o1", "CLICK", "K").done.wait(5)
    assert all(who != "notice" for who, _ in shown(desk))


def test_pushes_through_cloud_hosting_are_json_without_a_signature(desk, server):
    desk.account.mode, desk.account.form = "cloud", "json"
    reply = {
        "ToUserName": "o1",
        "FromUserName": desk.account.name,
        "CreateTime": 1,
        "MsgType": "text",
        "Content": "云",
    }
    server.script = [(0, json.dumps(reply), 200)]
    assert say(desk).text == "云"
    query, _, headers = server.seen[0]
    assert not query and headers["X-Wx-Source"]


# Messages of the server


def send(desk, text="好", openid="o1", path="custom/send", **body):
    token = desk.world.stable_token("wx2", "s", force=False)["access_token"]
    body = {"touser": openid, "msgtype": "text", "text": {"content": text}} | body
    url = f"{desk.url}/cgi-bin/message/{path}?access_token={token}"
    return requests.post(url, json=body, timeout=5).json()["errcode"]


def type_(desk, command="Typing"):
    return send(desk, path="custom/typing", command=command)


def test_a_message_allows_five_within_48_hours(desk):
    assert send(desk) == 40003
    say(desk)
    assert [send(desk) for _ in range(6)] == [0] * 5 + [45047]
    say(desk)
    assert send(desk) == 0
    desk.world.advance(48 * 3600)
    assert send(desk) == 45015


def test_the_count_may_last_where_wechat_does_not_reset_it(desk):
    desk.account.counts_reset = False
    say(desk)
    assert [send(desk) for _ in range(5)] == [0] * 5
    say(desk)
    assert send(desk) == 45047


def test_an_action_allows_three_within_a_minute(desk):
    desk.event("o1", "subscribe").done.wait(5)
    assert [send(desk) for _ in range(4)] == [0] * 3 + [45047]
    desk.world.advance(60)
    assert send(desk) == 45015


def test_who_may_not_be_written_to(desk):
    say(desk)
    desk.event("o1", "unsubscribe").done.wait(5)
    assert send(desk) == 43004
    desk.account.may_push = False
    assert send(desk) == 48001


def test_what_may_not_be_said(desk):
    say(desk)
    assert send(desk, "字" * 700) == 45002
    assert send(desk, "") == 44004
    assert send(desk, msgtype="nonsense") == 40008


def test_typing_lasts_and_must_not_be_doubled(desk):
    say(desk)
    assert [type_(desk), type_(desk)] == [0, 45081]
    desk.world.advance(15)
    assert type_(desk) == 0
    assert send(desk) == 0  # ends it
    assert type_(desk) == 0
    assert type_(desk, "Nonsense") == 45072
    desk.world.advance(31)
    assert type_(desk) == 45080


def test_the_ai_label_is_wechats_own(desk):
    say(desk)
    send(desk, "AI 写的", aimsgcontext={"is_ai_msg": 1})
    send(desk, "人写的")
    assert [line.ai for line in desk.chats.after("o1", 0) if line.way == "pushed"] == [True, False]


def test_the_ip_whitelist_guards_tokens(desk):
    desk.account.allowed_ips = ("1.2.3.4",)
    body = {"appid": "wx2", "secret": "s", "grant_type": "client_credential"}
    answer = requests.post(f"{desk.url}/cgi-bin/stable_token", json=body, timeout=5).json()
    assert answer["errcode"] == 40164
    assert "invalid ip 127.0.0.1" in answer["errmsg"]


def test_msg_sec_check_by_its_rules(desk):
    code = desk.world.login("wx2", "o9").code
    token = desk.world.stable_token("wx2", "s", force=False)["access_token"]

    def check(content, openid="o9", **more):
        body = {"content": content, "version": 2, "scene": 2, "openid": openid} | more
        return requests.post(f"{desk.url}/wxa/msg_sec_check?access_token={token}", json=body, timeout=5).json()

    assert check("好")["errcode"] == 40003  # has not logged in yet
    desk.world.trade("wx2", "s", code)
    assert [check(text)["result"]["suggest"] for text in ("好", "违规", "疑似")] == ["pass", "risky", "review"]
    assert check("好" * 2501)["errcode"] == 45002
    assert check("好", scene=9)["errcode"] == 40129
    desk.world.advance(7201)
    fresh = desk.world.stable_token("wx2", "s", force=True)["access_token"]
    token = fresh
    assert check("好")["errcode"] == 61010


# The page


def test_the_page_chats(desk, server):
    server.script = [(0, xml("页面上的回答", to="oPage"), 200)]
    page = requests.get(desk.url, timeout=5)
    assert "公众号聊天" in page.text and "default-src 'self'" in page.headers["Content-Security-Policy"]
    for file in ("chat.js", "chat.css"):
        assert requests.get(f"{desk.url}/static/{file}", timeout=5).status_code == 200
    assert (
        requests.post(f"{desk.url}/desk/say", json={"openid": "oPage", "text": "在吗"}, timeout=5).status_code == 200
    )
    desk.wait_until_quiet(5)
    time.sleep(0.1)
    news = requests.get(f"{desk.url}/desk/chat?openid=oPage&after=0", timeout=5).json()
    assert [line["text"] for line in news["lines"]] == ["在吗", "页面上的回答"]
    (attempt,) = news["deliveries"][0]["attempts"]
    assert attempt["outcome"] == "answered" and "在吗" in attempt["request"]
    switched = requests.post(f"{desk.url}/desk/switches", json={"overlap": True, "slow_seconds": 1}, timeout=5)
    assert switched.status_code == 200 and desk.account.overlap
    for wrong in ({"mode": "safe"}, {"mode": "nonsense"}, {"slow_seconds": 9}, {"what": 1}):
        assert requests.post(f"{desk.url}/desk/switches", json=wrong, timeout=5).status_code == 400
