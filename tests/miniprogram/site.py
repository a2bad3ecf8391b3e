"""What a phone reaches in a test beside the API: the built mini-programs, and WeChat's own line to cloud hosting."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from flask import Flask, Response, request, send_from_directory

from core.settings import SIMULATOR_APPID, SIMULATOR_SECRET

LONGEST_CALL = 20  # seconds; the phone gives up after fifteen
KEPT = ("Content-Type", "Retry-After", "X-Request-Id")


def create_site(builds: Path, api: str, phones: Mapping[str, dict[str, Any]]) -> Flask:
    """`/<build>/phone.html` runs a build; `/cloud/…` is the gateway of cloud hosting in front of the API.

    `phones` are the settings of each phone, by the name it has in the page's address.
    """
    site = Flask(__name__, static_folder=None)

    @site.get("/<build>/phone.json")
    def phone(build: str) -> dict[str, Any]:
        return phones[request.args["phone"]]

    @site.get("/<build>/<path:file>")
    def built(build: str, file: str) -> Response:
        # A build does not change while it is served, and the browser starts without a cache.
        return send_from_directory((builds / build).resolve(), file, max_age=3600)

    @site.route("/cloud/<path:path>", methods=["GET", "POST", "PUT", "DELETE"])
    def cloud(path: str) -> Response:
        """The gateway knows who is calling; what a client says about that itself is dropped."""
        told = {name: value for name, value in request.headers.items() if not _about_the_caller(name)}
        known = {
            "X-WX-OPENID": request.headers["X-Phone-Openid"],
            "X-WX-APPID": SIMULATOR_APPID,
            "X-WX-SOURCE": "wx_client",
        }
        answer = requests.request(
            request.method,
            f"{api}/{path}",
            params=request.args,
            data=request.get_data(),
            headers=told | known,
            timeout=LONGEST_CALL,
        )
        headers: dict[str, Any] = {name: answer.headers[name] for name in KEPT if name in answer.headers}
        return Response(answer.content, answer.status_code, headers=headers)

    return site


def _about_the_caller(header: str) -> bool:
    return header.lower().startswith(("x-wx-", "x-phone-", "host", "content-length", "connection", "origin"))


class Ears:
    """A transcription service that hears what it is told to; `recordings` are what it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.hears = "你好世界"
        self.status = 200
        self.recordings: list[bytes] = []
        self.app = Flask(__name__, static_folder=None)
        self.app.add_url_rule("/v1/audio/transcriptions", view_func=self._transcribe, methods=["POST"])

    def _transcribe(self) -> tuple[dict[str, str], int]:
        self.recordings.append(request.files["file"].read())
        return {"text": self.hears}, self.status


def backend_settings(simulator: str, ears: str) -> dict[str, object]:
    """An API that trusts cloud hosting's gateway and hears, with the desk simulator as its WeChat."""
    return {
        "host": "127.0.0.1",
        "wechat_cloud": 1,
        "wechat_api_url": simulator,
        "miniprogram_appid": SIMULATOR_APPID,
        "miniprogram_secret": SIMULATOR_SECRET,
        "asr_api_url": ears,
    }
