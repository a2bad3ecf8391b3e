"""The runner's `wx`: the manners, limits and faults of a phone."""

import json
import time

import pytest

from tests.miniprogram.test_runner import PARTS

READ = "options => phone.page().read(options)"


@pytest.fixture
def new_parts(new_phone, builder):
    build = builder.build("parts", PARTS)
    return lambda **options: new_phone(build, **options).open("pages/parts/parts")


@pytest.fixture
def parts(new_parts):
    return new_parts()


def token(phone):
    """A session token of this phone's person, got the way pages get it."""
    script = """async () => {
        const { code } = await phone.wx.login();
        const url = `${phone.settings.api}/api/login`;
        const { end } = await phone.page().read({ url, method: 'POST', data: { code } });
        return end.data.token;
    }"""
    return phone.js(script)


def asking(phone, content, **options):
    """The options of a request that streams an answer."""
    return {
        "url": f"{phone.place.api}/api/chat",
        "method": "POST",
        "header": {"Authorization": f"Bearer {token(phone)}"},
        "data": {"content": content, "stream": True},
        "enableChunked": True,
        "responseType": "arraybuffer",
    } | options


def text(answer):
    return b"".join(map(bytes, answer["chunks"])).decode()


# Requests


def test_an_answer_comes_in_chunks_as_it_is_written(parts, backend):
    answer = parts.js(READ, asking(parts, "问 [tokens:20@0.01]"))
    assert answer["heads"] == [200]
    assert len(answer["chunks"]) > 3
    assert "event: done" in text(answer)
    assert answer["end"]["errMsg"] == "request:ok"
    assert answer["end"]["header"]["content-type"].startswith("text/event-stream")


def test_chunks_can_be_cut_anywhere(parts):
    parts.faults(split_bytes=1)
    answer = parts.js(READ, asking(parts, "多字节的字"))
    assert {len(chunk) for chunk in answer["chunks"]} == {1}
    assert "回答：多" in text(answer)


def test_a_connection_breaks_after_so_many_bytes(parts):
    parts.faults(fail_after=100, fail_times=1)
    broken = parts.js(READ, asking(parts, "问 [tokens:50@0.01]"))
    assert len(b"".join(map(bytes, broken["chunks"]))) == 100
    assert broken["end"]["errMsg"] == "request:fail errcode:-101 net::ERR_CONNECTION_RESET"
    assert parts.js(READ, asking(parts, "再问"))["end"]["errMsg"] == "request:ok"


def test_a_line_falls_silent_and_the_time_runs_out(parts):
    parts.faults(stall_after=100, request_ms=400)
    stalled = parts.js(READ, asking(parts, "问"))
    assert len(b"".join(map(bytes, stalled["chunks"]))) == 100
    assert stalled["end"]["errMsg"] == "request:fail timeout"


@pytest.mark.parametrize("fault", ["no_chunked", "whole_body"])
def test_without_chunks_the_whole_body_comes_at_the_end(parts, fault):
    parts.faults(**{fault: True})
    answer = parts.js(READ, asking(parts, "问", responseType="text"))
    assert answer["chunks"] == []
    assert "event: done" in answer["end"]["data"]
    assert parts.js("() => phone.wx.canIUse('request.object.enableChunked')") is (fault != "no_chunked")


@pytest.mark.parametrize(("lost", "seen"), [(False, "unauthorized"), (True, "")])
def test_the_body_of_an_error_may_be_lost(parts, lost, seen):
    parts.faults(error_body_lost=lost)
    answer = parts.js(READ, asking(parts, "问", header={"Authorization": "Bearer no"}))
    assert answer["end"]["statusCode"] == 401
    assert seen in text(answer) and bool(text(answer)) == (not lost)


def test_abort_ends_the_request(parts, backend):
    parts.js("options => { window.reading = phone.page().read(options); }", asking(parts, "问 [hold:3]"))
    backend.cogito.wait_for(lambda: backend.cogito.active == 1)
    parts.js("() => phone.page().task.abort()")
    assert parts.js("() => window.reading")["end"]["errMsg"] == "request:fail abort"
    assert parts.js("() => phone.requests.running.size") == 0


def test_offline_is_known_and_told(parts):
    parts.js("() => { window.told = []; phone.wx.onNetworkStatusChange((each) => told.push(each.networkType)); }")
    with parts.offline():
        answer = parts.js(READ, {"url": f"{parts.place.api}/health"})
        assert answer["end"]["errMsg"] == "request:fail errcode:-106 net::ERR_INTERNET_DISCONNECTED"
        assert parts.js("async () => (await phone.wx.getNetworkType()).networkType") == "none"
    assert parts.js("() => told") == ["none", "wifi"]
    assert parts.js(READ, {"url": f"{parts.place.api}/health"})["end"]["data"]["status"] == "ok"


def test_only_the_configured_domain_is_reached(parts):
    answer = parts.js(READ, {"url": "https://elsewhere.example/x"})
    assert answer["end"]["errMsg"] == "request:fail url not in domain list"
    assert "domain list" in parts.js("() => phone.errors.pop()")


def test_in_the_background_a_request_is_interrupted(parts):
    parts.js("options => { window.reading = phone.page().read(options); }", asking(parts, "问 [hold:3]"))
    parts.page.wait_for_function("() => phone.requests.running.size === 1")
    parts.background(6)
    assert parts.js("() => window.reading")["end"]["errMsg"] == "request:fail interrupted"


def test_methods_and_bodies_are_those_of_wx(parts):
    answer = parts.js(READ, {"url": f"{parts.place.api}/health", "data": {"a": 1}})
    assert answer["end"]["statusCode"] == 200, "data of a GET is its query"
    answer = parts.js(READ, {"url": f"{parts.place.api}/health", "method": "PATCH"})
    assert answer["end"]["errMsg"] == "request:fail method is invalid: PATCH"


# Cloud hosting


def container(**options):
    given = json.dumps({"path": "/api/me", "method": "GET", "header": {"X-WX-SERVICE": "ai-chat"}} | options)
    return f"""async () => {{
        phone.wx.cloud.init({{ env: 'prod-1' }});
        return phone.wx.cloud.callContainer({given});
    }}"""


def test_the_gateway_says_who_is_calling(parts):
    answer = parts.js(container())
    assert answer["statusCode"] == 200
    assert answer["data"]["user_id"]


def test_a_container_call_has_its_limits(parts):
    too_large = container(path="/api/chat", method="POST", data={"content": "x" * 110_000})
    assert "exceed max size" in parts.js(f"() => ({too_large})().catch((fault) => fault.errMsg)")
    no_service = container(header={})
    assert "Invalid host" in parts.js(f"() => ({no_service})().catch((fault) => fault.errMsg)")
    parts.faults(container_ms=200)
    slow = container(path="/api/chat", method="POST", data={"content": "问 [slow:1]"})
    assert "102002" in parts.js(f"() => ({slow})().catch((fault) => fault.errMsg)")


# Storage, log-in, dialogs


def test_storage_survives_a_restart_and_is_limited(parts):
    parts.js("() => phone.wx.setStorageSync('key', { a: ['字'] })")
    parts.open("pages/parts/parts")
    assert parts.stored("key") == {"a": ["字"]}
    assert parts.stored("nothing") == ""
    put = """size => {
        try { phone.wx.setStorageSync('big', 'x'.repeat(size)); } catch (fault) { return fault.message; }
    }"""
    assert "entry size limit" in parts.js(put, 1024 * 1024)
    parts.faults(storage_bytes=1000)
    assert "exceed storage max size" in parts.js(put, 1000)
    assert parts.js("async () => (await phone.wx.getStorage({ key: 'none' }).catch((e) => e)).errMsg").endswith(
        "not found"
    )


def test_what_an_older_version_stored_is_there_once(new_phone, builder):
    phone = new_phone(builder.build("parts", PARTS))
    phone.store("aiChatHistory", [{"role": "user", "content": "旧"}])
    phone.open("pages/parts/parts")
    assert phone.stored("aiChatHistory")[0]["content"] == "旧"
    phone.js("() => phone.wx.removeStorageSync('aiChatHistory')")
    phone.open("pages/parts/parts")
    assert phone.stored("aiChatHistory") == ""


def test_the_simulator_logs_the_same_person_in(parts):
    assert token(parts) != token(parts)
    parts.faults(login_fails=1)
    assert parts.js("() => phone.wx.login().catch((fault) => fault.errMsg)") == "login:fail timeout"
    assert parts.js("async () => (await phone.wx.login()).code")


def test_callbacks_and_promises_are_told_the_same(parts):
    script = """() => new Promise((resolve) => {
        const told = [];
        const returned = phone.wx.getNetworkType({
            success: (result) => told.push(result.networkType),
            complete: (result) => resolve([...told, result.errMsg, typeof returned]),
        });
    })"""
    assert parts.js(script) == ["wifi", "getNetworkType:ok", "undefined"]


def test_dialogs_wait_for_the_user(parts):
    parts.js("() => { window.answer = phone.wx.showModal({ title: '清空', content: '确定吗' }); }")
    parts.see("清空", "确定吗")
    parts.tap("取消")
    assert parts.js("() => window.answer") == {"errMsg": "showModal:ok", "confirm": False, "cancel": True}
    parts.js("() => { window.answer = phone.wx.showModal({ title: '改名', editable: true, content: '旧名' }); }")
    parts.page.locator(".wx-dialog-input").fill("新名")
    parts.tap("确定")
    assert parts.js("() => window.answer")["content"] == "新名"
    parts.js("() => { window.answer = phone.wx.showActionSheet({ itemList: ['一', '二'] }); }")
    parts.tap("二")
    assert parts.js("() => window.answer")["tapIndex"] == 1


def test_a_toast_comes_and_goes(parts):
    parts.js("() => phone.wx.showToast({ title: '网络好像不太给力', icon: 'none', duration: 300 })")
    parts.see("网络好像不太给力")
    parts.gone("网络好像不太给力")
    parts.js("() => phone.wx.showToast({ title: '这一行字太长了吧' })")
    assert "7 characters" in parts.js("() => phone.warnings.pop()")


def test_the_clipboard_waits_for_the_privacy_guide(new_parts):
    phone = new_parts(need_privacy=True)
    phone.js("() => { window.copied = phone.wx.setClipboardData({ data: '文字' }); }")
    phone.see("用户隐私保护提示")
    assert phone.clipboard() == ""
    phone.tap("同意")
    assert phone.js("() => window.copied")["errMsg"] == "setClipboardData:ok"
    assert phone.clipboard() == "文字"
    phone.see("内容已复制")


def test_a_page_may_ask_for_privacy_itself(new_parts):
    phone = new_parts(need_privacy=True)
    phone.js("() => phone.wx.onNeedPrivacyAuthorization((resolve) => { window.resolve = resolve; })")
    phone.js("() => { window.asked = phone.wx.requirePrivacyAuthorize().catch((fault) => fault); }")
    phone.js("() => window.resolve({ event: 'disagree' })")
    assert phone.js("() => window.asked")["errno"] == 104


# The microphone


def recording(phone, **options):
    phone.js(
        """options => {
            window.heard = [];
            const recorder = phone.wx.getRecorderManager();
            recorder.onStart(() => heard.push('start'));
            recorder.onError(({ errMsg }) => heard.push(errMsg));
            recorder.onFrameRecorded(({ frameBuffer }) => heard.push(Math.max(...new Int16Array(frameBuffer), 0)));
            recorder.onStop((file) => heard.push(file));
            recorder.start(options);
        }""",
        {"format": "PCM", "frameSize": 1} | options,
    )
    phone.page.wait_for_function("() => heard.length")


def test_the_recorder_hears_what_it_is_told(parts):
    recording(parts)
    parts.hear(0.1, 0.9)
    parts.js("() => phone.wx.getRecorderManager().stop()")
    parts.page.wait_for_function("() => heard.length === 5")
    start, quiet, loud, _, file = parts.js("() => heard")
    assert start == "start"
    assert 3000 < quiet < 3400 and 29000 < loud < 30000
    assert file["tempFilePath"].endswith(".pcm") and file["fileSize"] > 0


def test_the_microphone_can_be_refused(new_parts):
    phone = new_parts(deny_record=True)
    recording(phone)
    assert phone.js("() => heard") == ["operateRecorder:fail auth deny"]
    assert phone.js("async () => (await phone.wx.getSetting()).authSetting") == {"scope.record": False}


def test_a_recording_is_uploaded_as_a_file(parts):
    parts.stub("/api/transcriptions", {"text": "听到了"})
    recording(parts, format="wav")
    parts.hear(0.5)
    parts.js("() => phone.wx.getRecorderManager().stop()")
    parts.page.wait_for_function("() => heard.length === 4")
    upload = """() => new Promise((resolve) => phone.wx.uploadFile({
        url: `${phone.settings.api}/api/transcriptions`, filePath: heard[3].tempFilePath, name: 'file',
        success: resolve, fail: resolve,
    }))"""
    assert json.loads(parts.js(upload)["data"]) == {"text": "听到了"}
    parts.faults(upload_fails=True)
    assert "ERR_CONNECTION_RESET" in parts.js(upload)["errMsg"]


# Time


def test_what_is_shown_is_timed(parts):
    shown = parts.when_shown("来得及")
    begin = time.time()
    parts.js("() => setTimeout(() => phone.page().setData({ mark: '来得及' }), 100)")
    assert 0.09 < shown() - begin < 1


def test_timers_can_run_faster(parts):
    parts.faults(timer_speed=100)
    parts.js("() => phone.page().tick(2000)")
    parts.page.wait_for_function("() => phone.page().ticks > 3", timeout=1000)


def test_an_unknown_fault_is_an_error(parts):
    with pytest.raises(Exception, match="no fault is called"):
        parts.faults(of_line=True)
