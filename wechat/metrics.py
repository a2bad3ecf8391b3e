"""GET /metrics, for whoever may read it."""

import hmac
from ipaddress import ip_address

from flask import Blueprint, Response, request

from core.errors import Unauthorized
from core.metrics import Metrics
from core.settings import Settings
from wechat.openapi import Media, told

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "X-Original-Forwarded-For")


def metrics_api(metrics: Metrics, settings: Settings) -> Blueprint:
    api = Blueprint("metrics", __name__)

    @api.get("/metrics")
    @told(
        "运行指标（Prometheus）",
        group="运维",
        about="本机可以直接读；其他机器要带 `Authorization: Bearer <METRICS_TOKEN>`。",
        answers={200: Media({"text/plain": {"type": "string"}})},
        refusals=(401,),
        login=False,
    )
    def read() -> Response:
        if not (_has_token(settings.metrics_token) or _on_this_machine(settings.trusted_proxies)):
            raise Unauthorized("neither on this machine nor with METRICS_TOKEN")
        told, kind = metrics.told()
        return Response(told, content_type=kind)

    return api


def _has_token(token: str) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    return bool(token) and kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _on_this_machine(trusted_proxies: int) -> bool:
    """A proxy beside us makes everyone look like us: if we were not told of it, its headers give it away."""
    if not trusted_proxies and any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
