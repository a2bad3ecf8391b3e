"""The HTTP API as one Flask app: the mini-program's, and the tutorial's /chat."""

import re
import secrets
import threading
import time

from flask import Flask, Response, g, request
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from core.database import Database
from core.engine import ChatEngine
from core.model import CogitoModel
from core.model_source import ModelSource
from core.settings import Settings
from core.store import content
from core.writers import Writers
from wechat import problems
from wechat.bodies import reply
from wechat.chat import chat_api
from wechat.conversations import conversations_api
from wechat.login import login_api
from wechat.platform import WeChatPlatform

SERVICE = "mini-program-ai-backend"
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
    settings: Settings,
) -> Flask:
    app = Flask(__name__, static_folder=None)
    problems.register(app)
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies)  # type: ignore[method-assign]
    CORS(
        app,
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

    @app.after_request
    def tell_the_name(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        return response

    @app.get("/health")
    def health() -> Response:
        facts = source.facts()
        return reply({"status": "ok", "service": SERVICE, "model": facts.name, "notice": facts.notice})

    probe = Probe(model)

    @app.get("/ready")
    def ready() -> Response:
        missing = {}
        if writers.draining:
            missing["process"] = "shutting down"
        try:
            database.read(content.revisions)
        except Exception as fault:  # whatever it is, the database is not there
            missing["database"] = type(fault).__name__
        if reason := probe.reason():
            missing["model"] = reason
        return reply({"status": "unavailable" if missing else "ready", "missing": missing}, 503 if missing else 200)

    app.register_blueprint(login_api(database, platform, engine.live, source, settings))
    app.register_blueprint(chat_api(engine, database, settings))
    app.register_blueprint(conversations_api(engine, database))
    return app


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
