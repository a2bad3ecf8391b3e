"""The side of api.weixin.qq.com: always HTTP 200, always text/plain, and an errcode where something is wrong."""

import errno
import secrets
import time
from typing import Any

from flask import Blueprint, Response, request

from wechat.simulator.answers import answer
from wechat.simulator.errors import ERRMSG, Refused
from wechat.simulator.messaging_api import messaging_api
from wechat.simulator.official import Official
from wechat.simulator.world import World

BAD_GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def platform_api(world: World, official: Official | None = None) -> Blueprint:
    api = Blueprint("platform_api", __name__)

    @api.before_request
    def check_address() -> None:
        """The IP whitelist guards tokens; what already has one is not asked again."""
        allowed = official.account.allowed_ips if official else None
        if allowed is not None and "token" in request.path and request.remote_addr not in allowed:
            raise Refused(40164)

    @api.before_request
    def meet_fault() -> Response | None:
        fault = world.fault_for(request.path)
        if fault is None:
            return None
        time.sleep(fault.delay)
        if fault.drop:
            raise ConnectionResetError(errno.ECONNRESET, "dropped on purpose")
        if fault.errcode is not None:
            raise Refused(fault.errcode)
        if fault.html or fault.http_status is not None:
            return Response(BAD_GATEWAY_PAGE, fault.http_status or 200)
        return None

    @api.errorhandler(Refused)
    def refuse(refused: Refused) -> Response:
        errmsg = ERRMSG.get(refused.errcode, "error").replace("{ip}", request.remote_addr or "")
        comma = "," if request.path.startswith("/sns/") else ""
        return answer({"errcode": refused.errcode, "errmsg": f"{errmsg}{comma} rid: {_rid()}"})

    @api.get("/sns/jscode2session")
    def jscode2session() -> Response:
        _expect_grant(request.args, "authorization_code")
        return answer(world.trade(*(request.args.get(name, "") for name in ("appid", "secret", "js_code"))))

    @api.get("/cgi-bin/token")
    def token() -> Response:
        _expect_grant(request.args, "client_credential")
        return answer(world.token(request.args.get("appid", ""), request.args.get("secret", "")))

    @api.route("/cgi-bin/stable_token", methods=["GET", "POST"])
    def stable_token() -> Response:
        if request.method != "POST":
            raise Refused(43002)
        body = request.get_json(force=True, silent=True)  # WeChat does not look at the content type
        if not isinstance(body, dict):
            raise Refused(47001)
        _expect_grant(body, "client_credential")
        appid, secret = str(body.get("appid", "")), str(body.get("secret", ""))
        return answer(world.stable_token(appid, secret, force=body.get("force_refresh") is True))

    @api.get("/cgi-bin/getcallbackip")
    def getcallbackip() -> Response:
        """The simplest call that needs an access token."""
        world.account_of(request.args.get("access_token", ""))
        return answer({"ip_list": ["127.0.0.1"]})

    if official is not None:
        api.register_blueprint(messaging_api(world, official))
    return api


def _expect_grant(values: Any, grant_type: str) -> None:
    if values.get("grant_type") != grant_type:
        raise Refused(40002)


def _rid() -> str:
    return f"{int(time.time()):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
