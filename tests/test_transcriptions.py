"""POST /api/transcriptions: recordings of phones, through a real transcription service on loopback."""

import io
import socket
import time
import wave
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from flask import Flask, Response, request

from core import speech
from core.errors import ModelTimeout, ModelUnavailable, UnusableAudio
from core.settings import Settings
from core.speech import Speech, to_wav
from tests.house import House, at_once, housing, problem
from tests.loopback import serving
from tests.recordings import KINDS, recording
from tests.server import User

MEBI = 1024 * 1024
PER_MINUTE = 30


class Service:
    """What an OpenAI-compatible transcription service is asked, and what it answers next."""

    def __init__(self) -> None:
        self.app = Flask(__name__)
        self.app.post("/v1/audio/transcriptions")(self.transcribe)
        self.asked: list[dict[str, Any]] = []
        self.answer: Callable[[], Response] | None = None

    def transcribe(self) -> Any:
        with wave.open(io.BytesIO(request.files["file"].read())) as wav:
            shape = (wav.getframerate(), wav.getnchannels(), wav.getsampwidth())
            heard = wav.getnframes() / wav.getframerate()
        told = {"shape": shape, "seconds": heard, "form": dict(request.form)}
        self.asked.append(told | {"key": request.headers.get("Authorization")})
        return self.answer() if self.answer else {"text": " 今天天气怎么样？ "}


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, simulator: str, service: Service) -> Iterator[House]:
    with serving(service.app) as url:
        settings = {"asr_api_url": f"{url}/v1/audio/transcriptions", "asr_api_key": "asr-key", "asr_model": "whisper"}
        settings |= {"user_per_minute": str(PER_MINUTE)}
        with housing(tmp_path_factory.mktemp("spoken"), simulator, settings) as house:
            yield house


@pytest.fixture(autouse=True)
def answers_again(service: Service) -> Iterator[None]:
    yield
    service.answer = None


def send(user: User, audio: bytes, kind: str = "audio/mpeg") -> requests.Response:
    return requests.post(
        f"{user.url}/api/transcriptions", data=audio, headers=user.headers | {"Content-Type": kind}, timeout=30
    )


def upload(user: User, audio: bytes, name: str = "file") -> requests.Response:
    return user.call("POST", "/api/transcriptions", files={name: ("voice.mp3", audio, "audio/mpeg")})


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_phone_records_arrives_as_16_khz_wav(spoken: House, service: Service, kind: str) -> None:
    user = spoken.login()
    audio = recording(kind, 1.5)
    for answer in (send(user, audio, f"audio/{kind}"), upload(user, audio)):
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"text": "今天天气怎么样？"}
        asked = service.asked[-1]
        assert asked["shape"] == (16_000, 1, 2)
        assert asked["seconds"] == pytest.approx(1.5, abs=0.15)
        assert asked["form"] == {"model": "whisper", "response_format": "json"}
        assert asked["key"] == "Bearer asr-key"


def test_voice_is_a_feature_only_where_it_is_configured(spoken: House, house: House) -> None:
    assert spoken.login().get("/api/me").json()["features"]["voice"] is True
    user = house.login()
    assert user.get("/api/me").json()["features"]["voice"] is False
    problem(send(user, recording("mp3")), 501, "not_configured")


def test_it_is_for_those_who_have_logged_in(spoken: House, service: Service) -> None:
    asked = len(service.asked)
    answer = requests.post(f"{spoken.api.url}/api/transcriptions", data=recording("mp3"), timeout=10)
    problem(answer, 401, "unauthorized")
    assert len(service.asked) == asked


@pytest.mark.parametrize(
    "audio",
    [
        b"",
        b"hello" * 1000,
        b"\x00" * 5000,
        b"#EXTM3U\nhttp://127.0.0.1:1/x\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
    ids=["nothing", "text", "zeros", "playlist", "concat"],
)
def test_what_is_no_recording_is_refused(spoken: House, service: Service, audio: bytes) -> None:
    asked, user = len(service.asked), spoken.login()
    for answer in (send(user, audio), upload(user, audio)):
        problem(answer, 400, "invalid_message")
    assert len(service.asked) == asked


def test_a_recording_cut_anywhere_is_read_or_refused(spoken: House) -> None:
    user, whole = spoken.login(), recording("mp3", 2.0)
    for end in range(1, len(whole), len(whole) // 9):
        assert send(user, whole[:end]).status_code in (200, 400)


def test_forms_without_a_file_and_other_types_are_refused(spoken: House) -> None:
    user, audio = spoken.login(), recording("mp3")
    problem(upload(user, audio, name="audio"), 400, "invalid_message")
    problem(send(user, b"--x\r\nbroken", "multipart/form-data; boundary=x"), 400, "invalid_message")
    problem(send(user, b"", "multipart/form-data"), 400, "invalid_message")
    for kind in ("application/json", "application/octet-stream", "video/mp4", ""):
        problem(send(user, audio, kind), 415, "unsupported_media")


def test_more_than_two_mebibytes_are_refused_with_a_length_or_chunked(spoken: House) -> None:
    user = spoken.login()
    problem(send(user, b"x" * (2 * MEBI + 1)), 413, "too_large")
    problem(upload(user, b"x" * (2 * MEBI + 1)), 413, "too_large")
    problem(send(user, iter([b"x" * MEBI] * 3)), 413, "too_large")  # type: ignore[arg-type]
    long = recording("wav", 60)
    assert send(user, iter([long[:1000], long[1000:]]), "audio/wav").status_code == 200  # type: ignore[arg-type]


def test_a_small_file_that_unpacks_to_hours_is_refused() -> None:
    frame = recording("amr")[6:]
    silence = frame[: 13 * 20]
    with pytest.raises(UnusableAudio, match="longer"):
        to_wav(b"#!AMR\n" + silence * 2000)


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (lambda: Response("busy", 503), 503, "model_unavailable"),
        (lambda: Response("slow down", 429), 503, "model_unavailable"),
        (lambda: Response("no such model", 404), 500, "model_error"),
        (lambda: Response("<html>", 200), 500, "model_error"),
        (lambda: Response('{"txt": "x"}', 200), 500, "model_error"),
        (lambda: Response('["text"]', 200), 500, "model_error"),
    ],
    ids=["down", "overloaded", "wrong", "html", "no-text", "list"],
)
def test_faults_of_the_service_are_those_of_a_model(
    spoken: House, service: Service, answer: Callable[[], Response], status: int, code: str
) -> None:
    service.answer = answer
    problem(send(spoken.login(), recording("mp3")), status, code)


def test_a_service_that_is_not_there_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelUnavailable):
        Speech(Settings(asr_api_url="http://127.0.0.1:9/v1")).transcribe(recording("mp3"))
    monkeypatch.setattr(speech, "TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ModelTimeout):
        port = silent.getsockname()[1]
        Speech(Settings(asr_api_url=f"http://127.0.0.1:{port}/v1")).transcribe(recording("mp3"))


def test_decoding_holds_up_nobody(spoken: House, service: Service) -> None:
    """Long recordings are decoded beside the requests, not between them."""
    user, long = spoken.login(), recording("mp3", 120)

    def send_one() -> int:
        return send(user, long).status_code

    def ping() -> float:
        slowest = 0.0
        for _ in range(20):
            began = time.perf_counter()
            requests.get(f"{spoken.api.url}/health", timeout=10)
            slowest = max(slowest, time.perf_counter() - began)
        return slowest

    results = at_once(lambda work: work(), send_one, send_one, ping)
    assert results[:2] == [200, 200]
    assert results[2] < 1.0


def test_nobody_records_faster_than_they_may_ask(spoken: House) -> None:
    user = spoken.login()
    assert {send(user, b"no sound").status_code for _ in range(PER_MINUTE)} == {400}
    problem(send(user, recording("mp3")), 429, "quota_exceeded")
