"""Recordings as phones make them: a tone of 440 Hz in every format, made by the same library that reads them."""

import io
import math
import struct
from functools import cache

import av

_FORMATS = {  # container, codec, samples per second
    "mp3": ("mp3", "libmp3lame", 16_000),
    "aac": ("adts", "aac", 16_000),
    "m4a": ("ipod", "aac", 44_100),
    "wav": ("wav", "pcm_s16le", 8_000),
    "amr": ("amr", "libopencore_amrnb", 8_000),
}
KINDS = tuple(_FORMATS)


@cache
def recording(kind: str, seconds: float = 1.0) -> bytes:
    container_name, codec, rate = _FORMATS[kind]
    out = io.BytesIO()
    with av.open(out, "w", format=container_name) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        tone = struct.pack("<320h", *(int(8000 * math.sin(n * 440 * math.tau / rate)) for n in range(320)))
        for first in range(0, int(seconds * rate), 320):
            frame = av.AudioFrame(format="s16", layout="mono", samples=320)
            frame.sample_rate, frame.pts = rate, first
            frame.planes[0].update(tone)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()
