"""api.weixin.qq.com for an official account: messages, typing, media, menu, imported replies; and msg_sec_check."""

from collections import Counter
from typing import Any

import orjson
from flask import Blueprint, Response, request

from wechat.simulator.answers import answer
from wechat.simulator.errors import Refused
from wechat.simulator.official import Official
from wechat.simulator.world import World

LOGIN_SECONDS, MOST_CHARACTERS, PER_MINUTE = 7200, 2500, 4000


def messaging_api(world: World, official: Official) -> Blueprint:
    api = Blueprint("messaging_api", __name__)
    checks: Counter[int] = Counter()

    def caller() -> str:
        """The appid that calls; raises Refused."""
        token, open_api = request.args.get("access_token"), official.account.open_api
        if token is None and open_api is not None:
            if request.path not in open_api:
                raise Refused(85107)
            return official.account.appid
        return world.account_of(token or "")

    @api.after_request
    def name_the_sidecar(response: Response) -> Response:
        if official.account.open_api is not None and "access_token" not in request.args:
            response.headers["x-openapi-seqid"] = "desk"
        return response

    def account_only() -> None:
        if caller() != official.account.appid:
            raise Refused(48001)

    @api.post("/cgi-bin/message/custom/send")
    def send() -> Response:
        account_only()
        official.send(_body())
        return answer({"errcode": 0, "errmsg": "ok"})

    @api.post("/cgi-bin/message/custom/typing")
    def typing() -> Response:
        account_only()
        official.type(_body())
        return answer({"errcode": 0, "errmsg": "ok"})

    @api.get("/cgi-bin/media/get")
    def media() -> Response:
        account_only()
        found = official.media.get(request.args.get("media_id", ""))
        if found is None:
            raise Refused(40007)
        data, kind = found
        return Response(data, content_type=kind, headers={"Content-Disposition": 'attachment; filename="media"'})

    @api.post("/cgi-bin/menu/create")
    def create_menu() -> Response:
        account_only()
        body = _body()
        if not isinstance(body.get("button"), list) or not 1 <= len(body["button"]) <= 3:
            raise Refused(47001)
        official.menu = body
        return answer({"errcode": 0, "errmsg": "ok"})

    @api.get("/cgi-bin/menu/get")
    def get_menu() -> Response:
        account_only()
        if official.menu is None:
            raise Refused(46003)
        return answer({"menu": official.menu})

    @api.get("/cgi-bin/get_current_selfmenu_info")
    def selfmenu() -> Response:
        account_only()
        return answer({"is_menu_open": int(official.menu is not None), "selfmenu_info": official.menu or {}})

    @api.get("/cgi-bin/menu/delete")
    def delete_menu() -> Response:
        account_only()
        official.menu = None
        return answer({"errcode": 0, "errmsg": "ok"})

    @api.get("/cgi-bin/get_current_autoreply_info")
    def auto_replies() -> Response:
        account_only()
        return answer(official.auto_replies)

    @api.post("/wxa/msg_sec_check")
    def msg_sec_check() -> Response:
        """违规 is risky and 疑似 wants a look; the user must have logged in within two hours."""
        appid, body = caller(), _body()
        content, openid = body.get("content"), str(body.get("openid", ""))
        if body.get("version") != 2 or body.get("scene") not in (1, 2, 3, 4):
            raise Refused(40129)
        if not isinstance(content, str) or not content:
            raise Refused(44002)
        if len(content) > MOST_CHARACTERS:
            raise Refused(45002)
        seen = world.logins.get((appid, openid))
        if seen is None:
            raise Refused(40003)
        if world.now() - seen > LOGIN_SECONDS:
            raise Refused(61010)
        minute = int(world.now() // 60)
        checks[minute] += 1
        if checks[minute] > PER_MINUTE:
            raise Refused(45011)
        suggest = "risky" if "违规" in content else "review" if "疑似" in content else "pass"
        label = {"risky": 20006, "review": 20003, "pass": 100}[suggest]
        detail = [{"strategy": "content_model", "errcode": 0, "suggest": suggest, "label": label, "prob": 90}]
        result = {"suggest": suggest, "label": label}
        return answer(
            {"errcode": 0, "errmsg": "ok", "trace_id": f"desk-{minute}", "result": result, "detail": detail}
        )

    return api


def _body() -> dict[str, Any]:
    data = request.get_data()
    if not data:
        raise Refused(44002)
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Refused(47001) from None
    if not isinstance(body, dict):
        raise Refused(47001)
    return body
