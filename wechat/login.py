"""Logging in: a code of wx.login for a session token of ours."""

from typing import Annotated

from flask import Blueprint, Response
from pydantic import Field
from sqlalchemy import Connection

from core.database import Database
from core.engine import ChatEngine
from core.model.source import ModelSource
from core.settings import Settings
from core.store import rates, users
from wechat.bodies import Body, read_json, reply
from wechat.callers import bearer_token, client_address, comes_from_cloud, current_user
from wechat.openapi import Example, Told, told
from wechat.platform import WeChatPlatform


class Login(Body):
    code: Annotated[str, Field(description="wx.login 得到的 code")]


class LoggedIn(Told):
    token: str
    expires_in: Annotated[int, Field(description="几秒后失效")]
    user_id: str


class QuotaTold(Told):
    per_day: Annotated[int, Field(description="每天可以提问几次；0 为不限")]
    used_today: int
    resets_at: Annotated[str, Field(description="什么时候重新计算")]


class Features(Told):
    voice: Annotated[bool, Field(description="可以用 POST /api/transcriptions")]
    thinking: bool


class ModelTold(Told):
    name: str
    notice: Annotated[str | None, Field(description="需要告诉用户的话")]


class Me(Told):
    user_id: str
    quota: QuotaTold
    features: Features
    brand_name: str
    ai_label: Annotated[str, Field(description="AI 生成内容的标识，应显示在回答旁边")]
    welcome: str
    suggestions: list[str]
    privacy_contact: str
    filing_text: str
    max_question_chars: int
    model: ModelTold


def login_api(
    database: Database,
    platform: WeChatPlatform,
    engine: ChatEngine,
    source: ModelSource,
    settings: Settings,
) -> Blueprint:
    api = Blueprint("login", __name__)

    @api.post("/api/login")
    @told(
        "登录",
        group="用户",
        body=Login,
        answers={200: LoggedIn},
        refusals=(401, 403, 429, 501, 503),
        login=False,
        example=Example(
            body={"code": "0a3Xb1ll2Vd0hh4Ak5nl2pBPAA0Xb1lO"},
            answer={"token": "Yx0…", "expires_in": 604800, "user_id": "1871623412340000000"},
        ),
    )
    def login() -> Response:
        database.write(rates.count, f"login:{client_address()}", settings.login_per_minute)
        who = platform.code2session(read_json(Login).code)
        user_id, token, seconds = database.write(
            _sign_in, settings.platform_appid, who.openid, who.unionid, settings.session_days
        )
        return reply({"token": token, "expires_in": seconds, "user_id": str(user_id)})

    @api.post("/api/logout")
    @told("退出登录", group="用户", about="token 立即失效；已经失效的，结果也一样。", answers={204: None})
    def logout() -> Response:
        if comes_from_cloud():
            return Response(status=204)  # there is no token to revoke
        database.write(users.close_session, bearer_token())
        return Response(status=204)

    @api.get("/api/me")
    @told(
        "当前用户和可用的功能",
        group="用户",
        answers={200: Me},
        example=Example(
            answer={
                "user_id": "1871623412340000000",
                "quota": {"per_day": 200, "used_today": 3, "resets_at": "2026-11-23T00:00:00+08:00"},
                "features": {"voice": False, "thinking": True},
                "brand_name": "AI 助手",
                "ai_label": "内容由 AI 生成",
                "welcome": "你好，我是 AI 助手，有什么可以帮你？",
                "suggestions": ["你能做什么？", "你是谁？", "给我讲个故事"],
                "privacy_contact": "",
                "filing_text": "",
                "max_question_chars": 2000,
                "model": {"name": "cogito-v1-preview-llama-3b", "notice": None},
            }
        ),
    )
    def me() -> Response:
        user = database.read(users.get, current_user(database))
        facts, options = source.facts(), engine.live.options
        used_today, _ = users.counts(user, engine.quota)
        return reply(
            {
                "user_id": str(user.id),
                "quota": {
                    "per_day": settings.user_per_day if user.per_day is None else user.per_day,
                    "used_today": used_today,
                    "resets_at": engine.quota.resets_at().isoformat(),
                },
                "features": {"voice": bool(settings.asr_api_url), "thinking": True},
                "brand_name": settings.brand_name,
                "ai_label": settings.ai_label,
                "welcome": options.get("welcome", ""),
                "suggestions": options.get("suggestions", []),
                "privacy_contact": settings.privacy_contact,
                "filing_text": settings.filing_text,
                "max_question_chars": settings.max_question_chars,
                "model": {"name": facts.name, "notice": facts.notice},
            }
        )

    @api.delete("/api/me")
    @told(
        "删除当前用户的全部数据",
        group="用户",
        about="正在写的回答会停止。当天的提问次数和停用状态以无法还原身份的形式保留；未处理完的投诉保留其内容。",
        answers={204: None},
    )
    def erase() -> Response:
        engine.erase(current_user(database, even_blocked=True))
        return Response(status=204)

    return api


def _sign_in(
    connection: Connection, appid: str, openid: str, unionid: str | None, days: float
) -> tuple[int, str, int]:
    user_id = users.sign_in(connection, appid, openid, unionid)
    return user_id, *users.open_session(connection, user_id, days)
