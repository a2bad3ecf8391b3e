"""The callback when something of ours breaks: WeChat comes again, or the follower gets a sentence."""

import time

import pytest
from flask import Flask

from core.settings import Settings
from wechat.callback import Emergency, callback_api
from wechat.envelope import sign
from wechat.visits import Visit


class Broken:
    def visit(self, push, by):
        return Visit(push, None, by)

    def receive(self, visit):
        raise RuntimeError("the database is away")


@pytest.fixture
def client():
    app = Flask("door")
    settings = Settings(wechat_token="t0ken", wechat_appid="wx1", wechat_silent_per_5_min=1, wechat_mode="plain")
    app.register_blueprint(callback_api(Broken(), settings))
    return app.test_client()


def push(client, age=0):
    now = int(time.time())
    query = {"signature": sign("t0ken", str(now), "n"), "timestamp": str(now), "nonce": "n"}
    fields = f"<xml><ToUserName>g</ToUserName><FromUserName>o1</FromUserName><CreateTime>{now - age}</CreateTime>"
    data = fields + "<MsgType>text</MsgType><Content>x</Content><MsgId>1</MsgId></xml>"
    return client.post("/wechat/callback", query_string=query, data=data.encode())


def test_a_fault_of_ours_is_silence_and_then_a_sentence(client, monkeypatch):
    monkeypatch.setattr("wechat.line.SILENT_SECONDS", 0.05)
    with pytest.raises(ConnectionResetError):
        push(client)
    told = push(client)  # no silence is left
    assert (told.status_code, "我暂时答不上来，请稍后再问一次。" in told.text) == (200, True)


def test_the_last_delivery_always_gets_a_sentence(client):
    assert "我暂时答不上来" in push(client, age=10).text


def test_emergency_silence_is_counted():
    emergency = Emergency(2)
    assert [emergency.may_be_silent() for _ in range(3)] == [True, True, False]
