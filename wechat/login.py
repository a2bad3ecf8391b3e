"""Logging in: a code of wx.login for a session token of ours."""

from flask import Blueprint, Response
from flask_limiter import Limiter
from sqlalchemy import Connection

from core.database import Database
from core.live import LiveContent
from core.model_source import ModelSource
from core.settings import Settings
from core.store import users
from core.store.users import Quota
from wechat.bodies import Body, read_json, reply
from wechat.callers import bearer_token, current_user
from wechat.platform import WeChatPlatform


class Login(Body):
    code: str


def login_api(
    database: Database,
    platform: WeChatPlatform,
    live: LiveContent,
    source: ModelSource,
    settings: Settings,
    limiter: Limiter,
) -> Blueprint:
    api = Blueprint("login", __name__)
    quota = Quota(settings.user_per_minute, settings.user_per_day, settings.timezone)

    @api.post("/api/login")
    @limiter.limit(lambda: f"{settings.login_per_minute}/minute", exempt_when=lambda: not settings.login_per_minute)
    def login() -> Response:
        who = platform.code2session(read_json(Login).code)
        user_id, token, seconds = database.write(
            _sign_in, settings.platform_appid, who.openid, who.unionid, settings.session_days
        )
        return reply({"token": token, "expires_in": seconds, "user_id": str(user_id)})

    @api.post("/api/logout")
    def logout() -> Response:
        database.write(users.close_session, bearer_token())
        return Response(status=204)

    @api.get("/api/me")
    def me() -> Response:
        user = database.read(users.get, current_user(database))
        facts, options = source.facts(), live.options
        used_today, _ = users.counts(user, quota)
        return reply(
            {
                "user_id": str(user.id),
                "quota": {
                    "per_day": settings.user_per_day if user.per_day is None else user.per_day,
                    "used_today": used_today,
                    "resets_at": quota.resets_at().isoformat(),
                },
                "features": {"voice": False, "thinking": True},
                "brand_name": settings.brand_name,
                "ai_label": settings.ai_label,
                "welcome": options.get("welcome", ""),
                "suggestions": options.get("suggestions", []),
                "model": {"name": facts.name, "notice": facts.notice},
            }
        )

    return api


def _sign_in(
    connection: Connection, appid: str, openid: str, unionid: str | None, days: float
) -> tuple[int, str, int]:
    user_id = users.sign_in(connection, appid, openid, unionid)
    return user_id, *users.open_session(connection, user_id, days)
