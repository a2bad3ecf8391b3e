"""From bytes to a message that may be believed, and back; with the examples WeChat and others have published."""

import time
from urllib.parse import parse_qs
from xml.etree.ElementTree import fromstring

import pytest

from wechat import phrases
from wechat.envelope import Cipher, Gate, NotAuthentic, check_age, sign
from wechat.messages import Form, Malformed, parse_fields, parse_push
from wechat.replies import render
from wechat.simulator.account import Account
from wechat.simulator.judge import judge

SAMPLE_KEY, SAMPLE_APPID = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "wx2c2769f8efd9abc2"
SAMPLE_ENCRYPT = (
    "hyzAe4OzmOMbd6TvGdIOO6uBmdJoD0Fk53REIHvxYtJlE2B655HuD0m8KUePWB3+LrPXo87wzQ1QLvbeUgmBM4x6F8PGHQHFVAFmOD2LdJF9FrXp"
    "bUAh0B5GIItb52sn896wVsMSHGuPE328HnRGBcrS7C41IzDWyWNlZkyyXwon8T332jisa+h6tEDYsVticbSnyU8dKOIbgU6ux5VTjg3yt+WGzjlp"
    "Kn6NPhRjpA912xMezR4kw6KWwMrCVKSVCZciVGCgavjIQ6X8tCOp3yZbGpy0VxpAe+77TszTfRd5RJSVO/HTnifJpXgCSUdUue1v6h0EIBYYI1BD"
    "1DlD+C0CR8e6OewpusjZ4uBl9FyJvnhvQl+q5rv1ixrcpCumEPo5MJSgM9ehVsNPfUM669WuMyVWQLCzpu9GhglF2PE="
)
PAGE_ENCRYPT = (
    "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR"
    "8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km3"
    "2IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="
)
PAGE_REPLY = "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="
WECHATPY_ENCRYPT = (
    "RgqEoJj5A4EMYlLvWO1F86ioRjZfaex/gePD0gOXTxpsq5Yj4GNglrBb8I2BAJVODGajiFnXBu7mCPatfjsu6IHCrsTyeDXzF6Bv283dGymzxh6y"
    "dJRvZsryDyZbLTE7rhnus50qGPMfp2wASFlzEgMW9z1ef/RD8XzaFYgm7iTdaXpXaG4+BiYyolBug/gYNx410cvkKR2/nPwBiT+P4hIiOAQqGp/T"
    "ywZBtDh1yCF2KOd0gpiMZ5jSw3e29mTvmUHzkVQiMS6td7vXUaWOMZnYZlF3So2SjHnwh4jYFxdgpkHHqIrH/54SNdshoQgWYEvccTKe7FS709/5"
    "t6NMxuGhcUGAPOQipvWTT4dShyqio7mlsl5noTrb++x6En749zCpQVhDpbV6GDnTbcX2e8K9QaNWHp91eBdCRxthuL0="
)
FOREVER = 1e12
TEXT = (
    b"<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[o1]]></FromUserName>"
    b"<CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType>"
    b"<Content><![CDATA[\xe4\xbd\xa0\xe5\xa5\xbd]]></Content><MsgId>23637352235060880</MsgId></xml>"
)


def gate(token, appid, mode, *keys, max_age=FOREVER):
    return Gate(token, appid, mode, keys, max_age)


def query(text):
    return parse_qs(text, keep_blank_values=True)


def signed(token="t0ken", nonce="n1", at=None, **more):
    timestamp = str(int(time.time() if at is None else at))
    values = {"signature": sign(token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce} | more
    return {name: [value] for name, value in values.items()}


# What others have published


def test_the_address_check_of_the_documentation_page():
    url = (
        "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&echostr=4375120948345356249"
        "&timestamp=1714036504&nonce=1514711492"
    )
    assert gate("AAAAA", "wx", "plain").verify_url(query(url)) == "4375120948345356249"


def test_the_plain_push_of_the_documentation_page():
    url = "signature=899cf89e464efb63f54ddac96b0a0a235f53aa78&timestamp=1714037059&nonce=486452656"
    body = (
        b'{"ToUserName": "gh_97417a04a28d", "FromUserName": "o9AgO5Kd5ggOC-bXrbNODIiE3bGY", "CreateTime": 1714037059,'
        b' "MsgType": "event", "Event": "debug_demo", "debug_str": "hello world"}'
    )
    opened = gate("AAAAA", "wx", "plain").open(query(url), body)
    push = parse_push(opened.fields)
    assert (push.event, push.get("debug_str"), opened.form) == ("debug_demo", "hello world", Form.JSON)


def test_the_encrypted_push_of_the_documentation_page():
    url = (
        "signature=6c5c811b55cc85e0e1b54100749188c20beb3f5d&timestamp=1714112445&nonce=415670741"
        "&openid=o9AgO5Kd5ggOC-bXrbNODIiE3bGY&encrypt_type=aes&msg_signature=046e02f8204d34f8ba5fa3b1db94908f3df2e9b3"
    )
    body = f'{{"ToUserName": "gh_97417a04a28d", "Encrypt": "{PAGE_ENCRYPT}"}}'.encode()
    opened = gate("AAAAA", "wxba5fad812f8e6fb9", "safe", "A" * 43).open(query(url), body)
    assert opened.fields["debug_str"] == "hello world"
    assert opened.nonce == "415670741"


def test_the_encrypted_reply_of_the_documentation_page():
    assert Cipher("A" * 43, "wxba5fad812f8e6fb9").decrypt(PAGE_REPLY) == b'{"demo_resp":"good luck"}'
    expected = "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1"
    assert sign("AAAAA", "1713424427", "415670741", PAGE_REPLY) == expected


def test_the_sample_code_of_wechat():
    url = "timestamp=1409735669&nonce=1320562132&msg_signature=5d197aaffba7e9b25a30732f161a50dee96bd5fa"
    body = f"<xml><ToUserName>gh_1</ToUserName><Content>forged</Content><Encrypt>{SAMPLE_ENCRYPT}</Encrypt></xml>"
    for mode in ("compatible", "safe"):
        push = parse_push(gate("spamtest", SAMPLE_APPID, mode, SAMPLE_KEY).open(query(url), body.encode()).fields)
        assert (push.message.content, push.key) == ("abcdteT", "m:6054768590064713728")


def test_an_example_of_wechatpy():
    url = "timestamp=1411525903&nonce=461056294&msg_signature=74d92dfeb87ba7c714f89d98870ae5eb62dff26d"
    key, appid = "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR", "wx49f0ab532d5d035a"
    body = (
        f"<xml><ToUserName><![CDATA[{appid}]]></ToUserName>\n<Encrypt><![CDATA[{WECHATPY_ENCRYPT}]]></Encrypt></xml>"
    )
    fields = gate("123456", appid, "safe", key).open(query(url), body.encode()).fields
    assert (fields["Content"], fields["FromUserName"]) == ("test", "messense")


# Our own door


@pytest.mark.parametrize("size", [*range(1, 70), 5000])
def test_what_is_encrypted_can_be_decrypted(size):
    cipher = Cipher(SAMPLE_KEY, SAMPLE_APPID)
    message = "你😀".encode()[:1] * size
    assert cipher.decrypt(cipher.encrypt(message)) == message
    assert cipher.encrypt(message) != cipher.encrypt(message)


def test_after_a_change_of_keys_both_work_and_the_reply_uses_the_one_of_the_push():
    old, new = "B" * 43, "C" * 42 + "A"
    door = gate("t0ken", "wx1", "safe", new, old)
    encrypted = Cipher(old, "wx1").encrypt(TEXT)
    asked = signed()
    asked["msg_signature"] = [sign("t0ken", asked["timestamp"][0], "n1", encrypted)]
    opened = door.open(asked, f"<xml><Encrypt>{encrypted}</Encrypt></xml>".encode())
    sealed = fromstring(door.seal("<xml>hi</xml>", opened))
    assert Cipher(old, "wx1").decrypt(sealed.findtext("Encrypt")) == b"<xml>hi</xml>"
    with pytest.raises(NotAuthentic):
        Cipher(new, "wx1").decrypt(sealed.findtext("Encrypt"))


@pytest.mark.parametrize(
    "change",
    [
        {"signature": ["0" * 40]},
        {"signature": [""]},
        {"signature": []},
        {"nonce": ["n2"]},
        {"nonce": ["n1", "n1"]},
        {"timestamp": ["abc"]},
        {"timestamp": ["1700000000", "1700000000"]},
        {"signature": ["\udc80"]},
    ],
)
def test_a_bad_signature_opens_nothing(change):
    with pytest.raises(NotAuthentic):
        gate("t0ken", "wx1", "plain").open(signed() | change, TEXT)


def test_an_old_push_is_refused():
    with pytest.raises(NotAuthentic, match="old"):
        gate("t0ken", "wx1", "plain", max_age=600).open(signed(at=time.time() - 601), TEXT)
    gate("t0ken", "wx1", "plain", max_age=600).open(signed(at=time.time() - 590), TEXT)
    with pytest.raises(NotAuthentic):
        check_age(1700000000, 600)


def test_an_empty_token_is_no_token():
    with pytest.raises(ValueError, match="token"):
        Gate("", "wx1", "plain", (), 600)


def test_safe_mode_refuses_plain_pushes_and_plain_signatures():
    door = gate("t0ken", "wx1", "safe", SAMPLE_KEY)
    with pytest.raises(NotAuthentic):
        door.open(signed(), TEXT)
    encrypted = Cipher(SAMPLE_KEY, "wx1").encrypt(TEXT)
    with pytest.raises(NotAuthentic):
        door.open(signed(), f"<xml><Encrypt>{encrypted}</Encrypt></xml>".encode())


def _with_signature(encrypted):
    asked = signed()
    return asked | {"msg_signature": [sign("t0ken", asked["timestamp"][0], "n1", encrypted)]}


@pytest.mark.parametrize("encrypted", ["!!!!", "AAAA", "A" * 44, "A" * 64, "", "A" * 63, SAMPLE_ENCRYPT])
def test_a_bad_ciphertext_is_not_authentic_whatever_is_wrong_with_it(encrypted):
    body = f"<xml><Encrypt>{encrypted}</Encrypt></xml>".encode()
    with pytest.raises(NotAuthentic):
        gate("t0ken", "wx1", "safe", SAMPLE_KEY).open(_with_signature(encrypted), body)


def test_a_message_encrypted_for_another_account_is_refused():
    encrypted = Cipher(SAMPLE_KEY, "wx2").encrypt(TEXT)
    with pytest.raises(NotAuthentic, match="appid"):
        gate("t0ken", "wx1", "safe", SAMPLE_KEY).open(
            _with_signature(encrypted), f"<xml><Encrypt>{encrypted}</Encrypt></xml>".encode()
        )


# Messages


def test_a_message_is_read_with_its_id_as_text():
    push = parse_push(parse_fields(TEXT)[0])
    assert (push.sender, push.receiver, push.kind) == ("o1", "gh_1", "text")
    assert (push.key, push.created, push.message.content) == ("m:23637352235060880", 1700000000, "你好")


def test_json_says_the_same_with_numbers():
    body = (
        '{"ToUserName":"gh_1","FromUserName":"o1","CreateTime":1700000000,"MsgType":"text","Content":"你好",'
        '"MsgId":23637352235060880}'
    )
    fields, form = parse_fields(body.encode())
    assert form is Form.JSON
    assert parse_push(fields).key == parse_push(parse_fields(TEXT)[0]).key


def test_a_long_msg_id_stays_as_it_is():
    fields = parse_fields(TEXT)[0] | {"MsgId": "49d72d67b16d115e7935ac386f2f0fa41535298877_1555684067"}
    assert parse_push(fields).key.endswith("877_1555684067")


def event(**changes):
    fields = {"ToUserName": "gh", "FromUserName": "o1", "CreateTime": "1700000000", "MsgType": "event"}
    return parse_push(fields | {"Event": "CLICK", "EventKey": "K"} | changes)


def test_events_are_told_apart_by_everything_they_say():
    keys = {
        event().key,
        event(EventKey="L").key,
        event(Event="VIEW").key,
        event(CreateTime="1700000001").key,
        event(FromUserName="o2").key,
    }
    assert len(keys) == 5
    assert event().key == event().key
    assert event().event == "click"


def test_repeated_parts_become_lists():
    body = b"<xml><SendPicsInfo><PicList><item><A>1</A></item><item><A>2</A></item></PicList></SendPicsInfo></xml>"
    assert parse_fields(body)[0]["SendPicsInfo"]["PicList"]["item"] == [{"A": "1"}, {"A": "2"}]
    check = b"<xml><detail><label>1</label></detail><detail><label>2</label></detail></xml>"
    assert parse_fields(check)[0]["detail"] == [{"label": "1"}, {"label": "2"}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"<xml>",
        b"<xml></xml>",
        b"<html><a>1</a></html>",
        b"<xml><a>1</a><a>2</a></xml>",
        b"<xml><a></xml></a>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><xml><a>&a;</a></xml>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><xml><a>1</a></xml>',
        b"<xml><a>&undefined;</a></xml>",
        b"<xml>" + b"<a>" * 50 + b"</a>" * 50 + b"</xml>",
        b"<xml>" + b"".join(b"<f%d>1</f%d>" % (n, n) for n in range(600)) + b"</xml>",
        b"<xml><a>\x00</a></xml>",
        b"<xml><a>\xff\xfe</a></xml>",
        "<xml><a>你</a></xml>".encode("gbk"),
        "<xml><a>1</a></xml>".encode("utf-16"),
        b"{",
        b"[]",
        b'{"a":1,"a":2}',
        b'{"a":' * 3000,
        b'{"a":{"b":{"c":{"d":{"e":{"f":{"g":1}}}}}}}',
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b"x" * (65 * 1024),
    ],
)
def test_what_is_no_message_is_malformed_and_nothing_else(body):
    with pytest.raises(Malformed):
        parse_fields(body)


@pytest.mark.parametrize(
    "changes",
    [
        {"FromUserName": ""},
        {"FromUserName": "a b"},
        {"FromUserName": "x" * 200},
        {"ToUserName": None},
        {"CreateTime": "yesterday"},
        {"CreateTime": 1.5},
        {"CreateTime": True},
        {"MsgType": ""},
        {"MsgType": ["text"]},
        {"MsgId": {"a": "b"}},
        {"MsgId": "你"},
        {"MsgId": "9" * 200},
        {"Content": {"a": "b"}},
        {"MsgType": "event"},
        {"MsgType": "event", "Event": "<b>"},
    ],
)
def test_a_message_with_an_odd_field_is_malformed(changes):
    with pytest.raises(Malformed):
        parse_push(parse_fields(TEXT)[0] | changes)


# Replies


@pytest.mark.parametrize("mode", ["plain", "compatible", "safe"])
@pytest.mark.parametrize("form", ["xml", "json"])
@pytest.mark.parametrize("text", ["你好", "]]></Content><MsgType>x", "a & b < c > d \" '", "line\nline"])
def test_a_reply_is_what_wechat_wants_whatever_it_says(mode, form, text):
    account = Account("wx1", token="t0ken", aes_key=SAMPLE_KEY, mode=mode, form=form, name="gh_1")
    body = TEXT if form == "xml" else b'{"ToUserName":"gh_1","FromUserName":"o1","CreateTime":1,"MsgType":"text"}'
    door = gate("t0ken", "wx1", mode, SAMPLE_KEY)
    if mode == "plain":
        opened = door.open(signed(), body)
    else:
        encrypted = Cipher(SAMPLE_KEY, "wx1").encrypt(body)
        outer = f"<xml><Encrypt>{encrypted}</Encrypt></xml>" if form == "xml" else f'{{"Encrypt":"{encrypted}"}}'
        opened = door.open(_with_signature(encrypted), outer.encode())
    reply = door.seal(render(text, parse_push(opened.fields), opened.form), opened)
    verdict = judge(reply.encode(), account, "o1", "n1")
    assert (verdict.kind, verdict.text) == ("text", text), verdict


def test_nothing_to_say_is_success_and_a_human_is_asked_for_in_both_forms():
    push = parse_push(parse_fields(TEXT)[0])
    assert render(phrases.SUCCESS, push, Form.XML) == "success"
    assert "transfer_customer_service" in render(phrases.TRANSFER, push, Form.XML)
    assert "transfer_customer_service" in render(phrases.TRANSFER, push, Form.JSON)
