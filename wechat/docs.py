"""GET /openapi.json, and GET /docs: the same for people, as one page that loads nothing and runs no script."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any, cast

import orjson
from flask import Blueprint, Flask, Response, current_app, render_template
from gevent import get_hub
from markupsafe import Markup, escape

from core.settings import Settings
from wechat.openapi import TITLE, Media, document, told

_STYLE = (files("wechat") / "templates" / "docs.css").read_text()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{_STYLE_HASH}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def docs_api(settings: Settings) -> Blueprint:
    api = Blueprint("docs", __name__, template_folder="templates")

    @cache
    def described(app: Flask) -> dict[str, Any]:
        # It takes a sixth of a second: beside the requests of others, not between them.
        return cast(dict[str, Any], get_hub().threadpool.apply(document, (app, settings)))

    def whole() -> dict[str, Any]:
        return described(current_app._get_current_object())  # type: ignore[attr-defined]

    @api.get("/openapi.json")
    @told(
        "接口说明（OpenAPI 3）",
        group="运维",
        answers={200: Media({"application/json": {"type": "object"}})},
        login=False,
    )
    def openapi() -> Response:
        return Response(orjson.dumps(whole()), content_type="application/json")

    @api.get("/docs")
    @told("接口文档", group="运维", answers={200: Media({"text/html": {"type": "string"}})}, login=False)
    def page() -> Response:
        html = render_template(
            "docs.html", title=TITLE, style=_STYLE, spec=whole(), groups=_groups(whole()), shown=_shown, coded=_coded
        )
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return Response(html, content_type="text/html; charset=utf-8", headers=headers)

    return api


def _groups(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The operations by tag, each with its path, method and fields."""
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in spec["tags"]}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            bodies = operation.get("requestBody", {}).get("content", {})
            body = bodies.get("application/json", {})
            groups[operation["tags"][0]].append(
                operation
                | {
                    "path": path,
                    "method": method.upper(),
                    "fields": _fields(spec, body.get("schema", {})),
                    "types": [kind for kind in bodies if kind != "application/json"],
                    "sent": body.get("example"),
                    "anchor": operation["operationId"],
                }
            )
    return groups


def _fields(spec: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, type and meaning of each field of a body."""
    schema = _resolved(spec, schema)
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "type": _type(spec, one),
            "required": name in required,
            "about": one.get("description", ""),
        }
        for name, one in schema.get("properties", {}).items()
    ]


def _type(spec: dict[str, Any], schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " | ".join(_type(spec, one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema["enum"])
    if "$ref" in schema:
        inner = ", ".join(f"{field['name']}: {field['type']}" for field in _fields(spec, schema))
        return f"{{{inner}}}"
    if schema.get("type") == "array":
        return f"[{_type(spec, schema.get('items', {}))}…]"
    return str(schema.get("type", "any"))


def _resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _coded(text: str) -> Markup:
    """A text in which `this` is code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _shown(value: Any) -> str:
    """JSON for people."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
