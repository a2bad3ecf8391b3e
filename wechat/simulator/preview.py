"""The mini-program as a web page: a preview for people without WeChat DevTools.

`npm run build` in tests/miniprogram compiles it into a folder of static files; no Node runs here. The pages ask
`phone.json` where everything is, log in at this simulator, and talk to the API directly.
"""

from pathlib import Path
from typing import Any

from flask import Blueprint, Response, send_from_directory

NOT_BUILT = "小程序预览还没有构建：装好 Node.js 18 以上版本后，重新运行 make run。"


def preview(folder: Path, api: str) -> Blueprint:
    """What is built in the folder, at /miniprogram/. `api` is the API's address as a browser reaches it."""
    pages = Blueprint("preview", __name__, url_prefix="/miniprogram")
    folder = folder.resolve()

    @pages.get("/phone.json")
    def phone() -> dict[str, Any]:
        # An empty address is our own.
        return {"api": api, "simulator": "", "preview": True, "overrides": {"config.js": {"baseUrl": api}}}

    @pages.get("/", defaults={"file": "index.html"})
    @pages.get("/<path:file>")
    def page(file: str) -> Response:
        if not (folder / "index.html").is_file():
            return Response(NOT_BUILT, 404, content_type="text/plain; charset=utf-8")
        return send_from_directory(folder, file, max_age=0)

    @pages.after_request
    def keep_to_ourselves(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            f"default-src 'self'; connect-src 'self' {api}; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data: https:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return pages
