"""Logging in: a code of wx.login for a session token of ours."""

import math
import time

from flask import Blueprint, Response, request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy import Connection

from core.database import Database
from core.errors import QuotaExceeded
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
) -> Blueprint:
    api = Blueprint("login", __name__)
    guesses = Guesses(settings.login_per_minute)
    quota = Quota(settings.user_per_minute, settings.user_per_day, settings.timezone)

    @api.post("/api/login")
    def login() -> Response:
        guesses.check(request.remote_addr or "")
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


class Guesses:
    """Log-ins per client address and minute; each process counts for itself: exactness is worth no database."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._window = RateLimitItemPerMinute(max(1, limit))
        self._counter = MovingWindowRateLimiter(MemoryStorage())

    def check(self, address: str) -> None:
        """Count one; raises QuotaExceeded."""
        if self._limit and not self._counter.hit(self._window, address):
            reopens = self._counter.get_window_stats(self._window, address).reset_time
            raise QuotaExceeded("minute", self._limit, max(1, math.ceil(reopens - time.time())))
