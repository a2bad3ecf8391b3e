"""Voice: hold to talk, slide up to cancel, and the words land in the input."""

import pytest

TALK = "按住说话，上滑取消"


@pytest.fixture
def talking(new_phone, ears):
    """A phone that is ready to be talked to."""

    def start(**options):
        phone = new_phone(**options).open()
        phone.tap("改用语音输入")
        return phone

    return start


def wait_for_bars(phone):
    """Until the bars show what was heard."""
    phone.page.wait_for_function("""() => { const bars = [...document.querySelectorAll('[class*="--level"]')];
        return new Set(bars.map((each) => each.offsetHeight)).size > 1; }""")


def test_what_is_said_lands_in_the_input(talking, ears):
    ears.hears = "明天会下雨吗"
    phone = talking()
    phone.press(TALK)
    phone.see("松开结束，上滑取消")
    phone.hear(0.0, 0.2)
    phone.hear(1.0)
    wait_for_bars(phone)
    heights = phone.js(
        """() => [...document.querySelectorAll('[class*="--level"]')].map((each) => each.offsetHeight)"""
    )
    assert max(heights) > 2 * min(heights), "loud is higher than quiet"
    phone.pass_time(0.7)
    phone.release()
    phone.page.wait_for_function("() => document.querySelector('textarea')?.value === '明天会下雨吗'")
    assert ears.recordings[0].startswith(b"RIFF"), "decoded for the service"
    phone.tap("发送")
    phone.see("回答：明天会下雨吗")


def test_sliding_up_cancels(talking, ears):
    phone = talking()
    phone.press(TALK)
    phone.see("松开结束，上滑取消")
    phone.slide(-120)
    phone.see("松开手指，取消发送")
    phone.slide(120)
    phone.see("松开结束，上滑取消")
    phone.slide(-120)
    phone.pass_time(0.7)
    phone.release()
    phone.see("按住 说话")
    assert ears.recordings == []


def test_a_short_tap_is_no_recording(talking, ears):
    phone = talking()
    phone.press(TALK)
    phone.see("松开结束")
    phone.release()
    phone.see("说话时间太短")
    assert ears.recordings == []


def test_nothing_is_recorded_before_the_privacy_guide_is_agreed_to(new_phone, ears):
    phone = new_phone(need_privacy=True).open()
    phone.tap("改用语音输入")
    phone.see("用户隐私保护提示")
    assert phone.calls("RecorderManager.start") == []
    phone.tap("拒绝")
    phone.see("同意隐私保护指引后才能使用语音")
    phone.gone("按住 说话")
    phone.tap("改用语音输入")
    phone.tap("同意")
    phone.see("按住 说话")


def test_a_refused_microphone_is_explained(new_phone, ears):
    phone = new_phone(deny_record=True).open()
    phone.tap("改用语音输入")
    phone.see("需要麦克风权限", "去设置")
    phone.tap("取消")
    phone.gone("需要麦克风权限")
    assert not phone.shows("按住 说话")


def test_leaving_the_app_ends_the_recording(talking, ears):
    phone = talking()
    phone.press(TALK)
    phone.see("松开结束")
    phone.pass_time(0.7)
    phone.leave()
    phone.come_back()
    phone.release()
    phone.see("按住 说话")
    assert ears.recordings == []


def test_a_service_that_fails_is_a_sentence(talking, ears):
    ears.status = 500
    phone = talking()
    phone.press(TALK)
    phone.see("松开结束")
    phone.pass_time(0.7)
    phone.release()
    phone.see("稍后")
    phone.see("按住 说话")


def test_an_upload_that_fails_is_a_sentence(talking, ears):
    phone = talking(upload_fails=True)
    phone.press(TALK)
    phone.see("松开结束")
    phone.pass_time(0.7)
    phone.release()
    phone.see("网络好像不太给力,请稍后再试")


def test_on_cloud_hosting_the_recording_goes_by_call_container(talking, ears):
    ears.hears = "云上的语音"
    phone = talking(cloud=True)
    phone.press(TALK)
    phone.see("松开结束")
    phone.pass_time(0.7)
    phone.release()
    phone.page.wait_for_function("() => document.querySelector('textarea')?.value === '云上的语音'")


def test_without_a_service_there_is_no_microphone(new_phone):
    phone = new_phone()
    phone.stub("/api/me", {"user_id": "1", "quota": {"per_day": 0, "used_today": 0}, "features": {"voice": False}})
    phone.open()
    phone.page.wait_for_function("() => phone.requests.count > 0 && phone.requests.running.size === 0")
    assert phone.page.get_by_label("改用语音输入").count() == 0
