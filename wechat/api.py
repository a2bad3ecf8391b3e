"""The HTTP API as one Flask app: the mini-program's, and the tutorial's /chat."""

import re
import secrets
import threading
import time
from typing import Annotated, Literal

from flask import Flask, Response, g, request
from flask_cors import CORS
from pydantic import Field
from werkzeug.exceptions import NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

from core import logs
from core.alerts import Alerts
from core.database import Database
from core.engine import ChatEngine
from core.metrics import Metrics
from core.model import CogitoModel
from core.model.source import ModelSource
from core.settings import Settings
from core.speech import Speech
from core.store import content
from core.writers import Writers
from wechat import problems
from wechat.access import AccessLog
from wechat.bodies import reply
from wechat.callers import CLOUD, CLOUD_APP
from wechat.chat import chat_api
from wechat.conversations import conversations_api
from wechat.docs import docs_api
from wechat.feedback import feedback_api
from wechat.login import login_api
from wechat.metrics import metrics_api
from wechat.official import OfficialAccount
from wechat.openapi import Example, Told, told
from wechat.platform import WeChatPlatform
from wechat.transcriptions import transcriptions_api

SERVICE = "mini-program-ai-backend"
CALLBACKS = ("/wechat/callback", "/cloud/callback")
REACHABLE_SECONDS, AWAY_SECONDS = 5.0, 1.0  # how long what /ready found out about the model stays true
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_api(
    *,
    engine: ChatEngine,
    database: Database,
    writers: Writers,
    model: CogitoModel,
    source: ModelSource,
    platform: WeChatPlatform,
    speech: Speech,
    metrics: Metrics,
    alerts: Alerts,
    settings: Settings,
) -> Flask:
    app = Flask(__name__, static_folder=None)
    problems.register(app, metrics.refused)
    app.extensions[CLOUD] = settings.platform_appid or CLOUD_APP if settings.wechat_cloud else None

    def count_delivery(method: str, path: str, status: int) -> None:
        if method == "POST" and path in CALLBACKS:
            metrics.delivered({0: "silent", 200: "answered"}.get(status, "refused"))

    app.wsgi_app = AccessLog(app.wsgi_app, count_delivery)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies)  # type: ignore[method-assign]
    CORS(
        app,
        resources=["/api/*", "/chat", "/health", "/ready"],  # not /metrics: a page on this desk may not read it
        origins=list(settings.cors_origins),
        methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Last-Event-ID", "X-Request-Id"],
        expose_headers=["X-Request-Id", "Retry-After"],
        max_age=86400,
    )

    @app.before_request
    def name_the_request() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        logs.bind(request_id=g.request_id)

    @app.after_request
    def tell_the_name(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        return response

    @app.get("/")
    def start() -> Response:
        """Whoever opens a new server in a browser finds the way; in public there is nothing to see."""
        if settings.local and "text/html" in request.headers.get("Accept", ""):
            return Response(status=302, headers={"Location": "/docs"})
        raise NotFound

    @app.get("/health")
    @told(
        "进程是否在运行",
        group="运维",
        answers={200: Health},
        login=False,
        example=Example(
            answer={"status": "ok", "service": SERVICE, "model": "cogito-v1-preview-llama-3b", "notice": None}
        ),
    )
    def health() -> Response:
        facts = source.facts()
        return reply({"status": "ok", "service": SERVICE, "model": facts.name, "notice": facts.notice})

    probe = Probe(model)

    @app.get("/ready")
    @told(
        "是否可以提供服务",
        group="运维",
        about="缺数据库或模型时为 503，missing 里写明缺什么。",
        answers={200: Readiness, 503: Readiness},
        login=False,
        example=Example(answer={"status": "ready", "missing": {}}),
    )
    def ready() -> Response:
        missing = {}
        if writers.draining:
            missing["process"] = "shutting down"
        try:
            database.read(content.revisions)
        except Exception as fault:  # whatever it is, the database is not there
            missing["database"] = type(fault).__name__
        else:
            if refusal := database.refusal:
                missing["database"] = f"cannot be written: {refusal}"
        if reason := probe.reason():
            missing["model"] = reason
        return reply({"status": "unavailable" if missing else "ready", "missing": missing}, 503 if missing else 200)

    app.register_blueprint(login_api(database, platform, engine, source, settings))
    app.register_blueprint(chat_api(engine, database, settings))
    app.register_blueprint(feedback_api(database, alerts, settings))
    app.register_blueprint(conversations_api(engine, database))
    app.register_blueprint(transcriptions_api(database, speech, settings))
    app.register_blueprint(metrics_api(metrics, settings))
    app.register_blueprint(docs_api(settings))
    app.extensions["official_account"] = official = OfficialAccount(
        engine, database, writers, speech, alerts, settings, metrics.messaged
    )
    app.register_blueprint(official.api)
    return app


class Health(Told):
    status: Literal["ok"]
    service: str
    model: str
    notice: Annotated[str | None, Field(description="关于模型，需要告诉用户的话")]


class Readiness(Told):
    status: Literal["ready", "unavailable"]
    missing: dict[str, str]


class Probe:
    """Asks whether the model can be reached, but not for everyone who wants to know."""

    def __init__(self, model: CogitoModel) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._ask_at = float("-inf")
        self._reason: str | None = None

    def reason(self) -> str | None:
        """Why the model cannot be reached; None if it can."""
        with self._lock:
            if time.monotonic() > self._ask_at:
                self._reason = self._model.ping()
                self._ask_at = time.monotonic() + (AWAY_SECONDS if self._reason else REACHABLE_SECONDS)
            return self._reason
