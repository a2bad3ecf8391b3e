"""Voice messages: fetched from WeChat, transcribed beside the deliveries, and then questions like any other."""

import io
import threading
import time
import wave

import pytest
from flask import Flask, request

from tests.loopback import serving
from tests.phones import body, street


class Ears:
    """A transcription service: what it hears, how long it takes, how often it was asked."""

    def __init__(self):
        self.text, self.seconds, self.calls = "北京天气怎么样", 0.0, 0
        self.app = Flask("ears")
        self.lock = threading.Lock()

        @self.app.post("/v1/audio/transcriptions")
        def transcribe():
            with self.lock:
                self.calls += 1
            assert request.files["file"].read(4) == b"RIFF"
            time.sleep(self.seconds)
            return {"text": self.text}


@pytest.fixture(scope="module")
def ears():
    return Ears()


@pytest.fixture(scope="module")
def town(tmp_path_factory, ears):
    with serving(ears.app) as url:
        settings = {"asr_api_url": f"{url}/v1/audio/transcriptions", "processes": 1}
        with street(tmp_path_factory.mktemp("voice"), **settings) as made:
            made.phone().say("热身[say:可以开始了。]")
            yield made


def recording(seconds=0.3):
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(b"\0\0" * int(16000 * seconds))
    return data.getvalue()


def test_a_voice_is_heard_and_answered(town, ears):
    town.cogito.will_say("北京今天晴，适合出门。")
    calls = ears.calls
    assert body(town.phone().voice(recording()).text) == "北京今天晴，适合出门。"
    assert ears.calls == calls + 1
    assert town.house.calls("北京天气怎么样") == 1


def test_a_voice_that_takes_long_is_heard_once(town, ears):
    ears.text, ears.seconds, calls = "说得很慢的问题", 2.0, ears.calls
    town.cogito.will_say("听完了才回答的。")
    phone = town.phone()
    message = phone.voice(recording())
    seen = message.text
    if not seen or seen.startswith("正在写"):
        town.wait_answered()
        seen = phone.say("继续").text
    assert body(seen) == "听完了才回答的。"
    assert len(message.attempts) >= 2
    assert ears.calls == calls + 1
    ears.seconds = 0.0


def test_a_voice_with_nothing_in_it_gets_a_sentence(town, ears):
    ears.text = ""
    assert "没听清" in town.phone().voice(recording()).text
    assert "没听清" in town.phone().voice(b"this is no recording").text
