"""The simulator as one Flask app. Whoever serves it binds it to loopback; the rest of the guard is here."""

from collections.abc import Mapping
from ipaddress import ip_address
from time import localtime, strftime
from urllib.parse import urlsplit

from flask import Flask, Response, abort, render_template, request

from wechat.simulator.account import Account
from wechat.simulator.chat_desk import chat_desk
from wechat.simulator.desk import desk
from wechat.simulator.official import Official
from wechat.simulator.platform_api import platform_api
from wechat.simulator.world import World

CODES_SHOWN = 20
PAGE_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def create_simulator(accounts: Mapping[str, str], account: Account | None = None) -> Flask:
    """A WeChat that knows these accounts, appid to AppSecret; the first one is the mini-program's.

    `account` is the official account among them, if there is one.
    """
    if not accounts:
        raise ValueError("a WeChat without an account")
    app = Flask(__name__)
    world = World(accounts)
    official = Official(world, account) if account else None
    app.extensions["official"] = official
    app.register_blueprint(platform_api(world, official))
    app.register_blueprint(desk(world))
    if official is not None:
        app.register_blueprint(chat_desk(official))

    @app.before_request
    def only_from_this_machine() -> None:
        # A page from elsewhere may point a name of its own at 127.0.0.1 (DNS rebinding), or post to us blindly.
        if not _is_loopback("//" + request.host):
            abort(403, "模拟器只在本机使用。")
        if request.origin is not None and not _is_loopback(request.origin):
            abort(403, "模拟器只回答本机的页面。")

    @app.after_request
    def allow_pages_of_this_machine(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.vary.add("Origin")
        if request.origin is not None and _is_loopback(request.origin):
            response.access_control_allow_origin = request.origin
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
            response.headers["Access-Control-Allow-Headers"] = "Content-Type"
        return response

    @app.get("/")
    def page() -> str:
        codes = [
            {
                "time": strftime("%H:%M:%S", localtime(code.issued)),
                "openid": code.openid,
                "code": code.code,
                "state": "已用" if code.used else "过期" if world.expired(code) else "未用",
            }
            for code in world.recent(CODES_SHOWN)
        ]
        template = "chat.html" if official else "desk.html"
        return render_template(template, codes=codes, appids=list(accounts), account=account)

    return app


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
