"""Speech to text: what phones record, decoded to 16 kHz wav, and transcribed by an OpenAI-compatible service."""

import io
import logging
import threading
import wave
from typing import cast

import orjson
import requests
from gevent import get_hub
from gevent.threadpool import ThreadPool
from requests.adapters import HTTPAdapter

from core.errors import ModelError, ModelTimeout, ModelUnavailable, NotConfigured, UnusableAudio
from core.settings import Settings

log = logging.getLogger(__name__)

RATE = 16_000
MAX_SECONDS = 600  # of a recording: what a small file unpacks to must be bounded
TIMEOUT = (5, 45)  # seconds to connect, and of silence
_FORMATS = {
    "format_whitelist": "mp3,aac,wav,amr,mov,mp4,m4a,3gp",  # what else libav knows is no business of strangers
    "codec_whitelist": "mp3,mp3float,aac,pcm_s16le,pcm_u8,pcm_f32le,amrnb,amrwb",
}


class Speech:
    """The transcription service, if one is configured; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.asr_api_url
        self._model = settings.asr_model
        self._key = settings.asr_api_key
        self._http = requests.Session()
        self._http.trust_env = False
        for scheme in ("https://", "http://"):
            self._http.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=32))
        self._lock = threading.Lock()
        self._decoder: ThreadPool | None = None

    @property
    def configured(self) -> bool:
        return bool(self._url)

    def check_configured(self) -> None:
        """Raises NotConfigured."""
        if not self.configured:
            raise NotConfigured("no ASR_API_URL")

    def transcribe(self, audio: bytes) -> str:
        """What is said in a recording (mp3, aac, m4a, wav or amr); "" where nothing is.

        Raises NotConfigured, UnusableAudio, or what a model raises.
        """
        self.check_configured()
        return self._ask(self._decoded(audio))

    def _decoded(self, audio: bytes) -> bytes:
        """Decoding would hold up every greenlet of the process: it has a native thread."""
        with self._lock:
            if self._decoder is None:
                self._decoder = ThreadPool(1, hub=get_hub())
        return cast(bytes, self._decoder.apply(to_wav, (audio,)))

    def _ask(self, wav: bytes) -> str:
        problem, answer = "", None
        form = {"response_format": "json"} | ({"model": self._model} if self._model else {})
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            response = self._http.post(
                self._url,
                data=form,
                files={"file": ("voice.wav", wav, "audio/wav")},
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            )
            status, body = response.status_code, response.content
        except requests.Timeout as late:
            raise ModelTimeout("the transcription took too long") from late
        except requests.RequestException as fault:
            if "timed out" in str(fault):  # in the midst of the body requests calls it a ConnectionError
                raise ModelTimeout("the transcription took too long") from fault
            raise ModelUnavailable(f"the transcription service cannot be reached: {type(fault).__name__}") from fault
        if status == 429 or status >= 500:
            raise ModelUnavailable(f"the transcription service answered HTTP {status}")
        if status != 200:
            problem = f"HTTP {status}"
        else:
            try:
                answer = orjson.loads(body)
            except orjson.JSONDecodeError:
                problem = "not JSON"
        text = answer.get("text") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            log.error("the transcription service sent an unusable answer: %s", problem or "no text in it")
            raise ModelError(f"the transcription service sent an unusable answer: {problem or 'no text in it'}")
        return text.strip()


def to_wav(audio: bytes) -> bytes:
    """A recording as 16-bit mono wav of 16 kHz; raises UnusableAudio."""
    import av  # 0.1 s, and only those need it who are sent recordings

    out = io.BytesIO()
    try:
        with av.open(io.BytesIO(audio), "r", options=_FORMATS) as container, wave.open(out, "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(RATE)
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            samples = 0
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    samples += piece.samples
                    wav.writeframes(bytes(piece.planes[0])[: piece.samples * 2])
                if samples > MAX_SECONDS * RATE:
                    raise UnusableAudio(f"longer than {MAX_SECONDS} s")
            for piece in resampler.resample(None):
                samples += piece.samples
                wav.writeframes(bytes(piece.planes[0])[: piece.samples * 2])
    except (av.FFmpegError, IndexError, ValueError) as fault:  # IndexError: there is no sound in it
        raise UnusableAudio(f"no recording we can read: {type(fault).__name__}") from None
    if not samples:
        raise UnusableAudio("an empty recording")
    return out.getvalue()
