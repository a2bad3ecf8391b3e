"""Recorded speech to text."""

import io
from typing import Annotated, Any

from flask import Blueprint, Response, request
from pydantic import Field
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.formparser import parse_form_data

from core.database import Database
from core.errors import InvalidField, UnusableAudio
from core.settings import Settings
from core.speech import Speech
from core.store import rates
from wechat.bodies import read_body, reply
from wechat.callers import current_user
from wechat.openapi import Media, Told, told

MAX_AUDIO = 2 * 1024 * 1024
FORM_OVERHEAD = 8 * 1024  # what a form puts around the file
UPLOAD_SECONDS = 30  # a phone on a slow line
_BINARY = {"type": "string", "format": "binary"}
_AUDIO = ("audio/mpeg", "audio/aac", "audio/wav", "audio/amr")


class Transcription(Told):
    text: Annotated[str, Field(description="听到的话；没有说话时为空")]


def transcriptions_api(database: Database, speech: Speech, settings: Settings) -> Blueprint:
    api = Blueprint("transcriptions", __name__)

    @api.post("/api/transcriptions")
    @told(
        "语音转文字",
        group="语音",
        about="mp3、aac、wav 或 amr，最大 2 MiB、10 分钟。可以用表单上传（字段 file），也可以直接发送 audio/*。",
        body=Media(
            {
                "multipart/form-data": {
                    "type": "object",
                    "properties": {"file": _BINARY},
                    "required": ["file"],
                },
                **dict.fromkeys(_AUDIO, _BINARY),
            }
        ),
        answers={200: Transcription},
        refusals=(429, 500, 501, 503),
    )
    def transcribe() -> Response:
        user_id = current_user(database)
        speech.check_configured()
        # What a question may cost, a recording may, too.
        database.write(rates.count, f"speech:{user_id}", settings.user_per_minute)
        return reply({"text": speech.transcribe(_recording())})

    return api


def _recording() -> bytes:
    """The recording, sent as it is or as the `file` of a form; raises HTTP errors and InvalidMessage."""
    kind = request.mimetype
    if kind.startswith("audio/"):
        audio = read_body(MAX_AUDIO, UPLOAD_SECONDS)
    elif kind == "multipart/form-data":
        audio = _file_of(read_body(MAX_AUDIO + FORM_OVERHEAD, UPLOAD_SECONDS))
    else:
        raise UnsupportedMediaType
    if len(audio) > MAX_AUDIO:
        raise RequestEntityTooLarge
    if not audio:
        raise UnusableAudio("no bytes at all")
    return audio


def _file_of(form: bytes) -> bytes:
    environ: dict[str, Any] = {
        "wsgi.input": io.BytesIO(form),
        "CONTENT_TYPE": request.content_type,
        "CONTENT_LENGTH": str(len(form)),
        "REQUEST_METHOD": "POST",
    }
    _, _, files = parse_form_data(environ, silent=True)
    file = files.get("file")
    if file is None:
        raise InvalidField("file", "not in the form")
    return bytes(file.read())
