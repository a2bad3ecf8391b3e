"""The OpenAPI document of the HTTP API, put together from what each route says of itself.

    @api.post("/api/logout")
    @told("退出登录", answers={204: None})
    def logout() -> Response: …

Bodies and answers are pydantic models beside the route: what is described is what is checked. APIFlask would do the
same, but reads bodies itself, without our guards, and its pages load scripts from elsewhere.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema

from core import VERSION
from core.settings import Settings
from wechat.problems import codes_by_status

GROUPS = ("用户", "对话", "历史", "反馈", "语音", "运维")
TITLE = "小程序 AI 对话后端"
V = TypeVar("V", bound=Callable[..., Any])


class Told(BaseModel):
    """Base of what we answer: these fields and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(Told):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


@dataclass(frozen=True)
class Parameter:
    """A value in the query or a header."""

    name: str
    about: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    place: str = "query"


@dataclass(frozen=True)
class Media:
    """A body that is no JSON: its content types and their schemas."""

    types: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Example:
    """A request that works as it stands, and what it is answered (ids and times are others each time)."""

    answer: Any
    body: Any = None
    status: int = 200


Content = type[BaseModel] | Media | None


@dataclass(frozen=True)
class Route:
    summary: str
    about: str
    group: str
    answers: Mapping[int, Content]
    body: Content
    refusals: frozenset[int]
    parameters: Sequence[Parameter]
    example: Example | None
    streams: bool
    login: bool


def told(
    summary: str,
    *,
    group: str,
    answers: Mapping[int, Content],
    about: str = "",
    body: Content = None,
    refusals: Sequence[int] = (),
    parameters: Sequence[Parameter] = (),
    example: Example | None = None,
    streams: bool = False,
    login: bool = True,
) -> Callable[[V], V]:
    """Describe a route. What follows from the rest (a log-in, a body, an id in the path) need not be said."""
    assert group in GROUPS
    known = set(refusals)
    if login:
        known |= {400, 401, 403}
    if body is not None:
        known |= {400, 408, 413, 415}
    if parameters:
        known |= {400}
    route = Route(summary, about, group, answers, body, frozenset(known), parameters, example, streams, login)

    def mark(view: V) -> V:
        view.__dict__["told"] = route
        return view

    return mark


def routes(app: Flask) -> list[tuple[str, str, Route]]:
    """Path (`/api/turns/{turn_id}`), method and description of every route that is described."""
    found = []
    for rule in app.url_map.iter_rules():
        route = getattr(app.view_functions[rule.endpoint], "told", None)
        if route is None:
            continue
        path = re.sub(r"<(\w+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            found.append((path, method.lower(), route))
    return found


def document(app: Flask, settings: Settings) -> dict[str, Any]:
    """The whole document."""
    known = routes(app)
    models: dict[type[BaseModel], str] = {Problem: "validation"}
    for _, _, route in known:
        for content in (route.body, *route.answers.values()):
            if isinstance(content, type):
                models[content] = "validation"
    _, schemas = models_json_schema(list(models.items()), ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    definitions = {name: _for_readers(schema) for name, schema in schemas["$defs"].items()}
    for model in ("Ask", "Chat"):
        definitions[model]["properties"]["max_tokens"]["maximum"] = settings.max_tokens_limit
    definitions["Ask"]["properties"]["content"]["maxLength"] = settings.max_question_chars
    definitions["Problem"]["properties"]["code"]["enum"] = sorted(
        {code for codes in codes_by_status().values() for code in codes}
    )
    paths: dict[str, dict[str, Any]] = {}
    for path, method, route in known:
        paths.setdefault(path, {})[method] = _operation(path, method, route, settings)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": _ABOUT},
        "tags": [{"name": name} for name in GROUPS],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": _SESSION | (_CLOUD if settings.wechat_cloud else {}),
        },
    }


_ABOUT = (
    "登录后，请求带上 `Authorization: Bearer <token>`。出错时返回 `application/problem+json`（RFC 9457），"
    "其中 `code` 是固定的代码，`detail` 是可以直接显示给用户的一句话；429 和 503 带 `Retry-After`。"
    "每个响应都有 `X-Request-Id`。"
)
_SESSION = {"session": {"type": "http", "scheme": "bearer", "description": "POST /api/login 得到的 token"}}
_CLOUD = {"cloud": {"type": "apiKey", "in": "header", "name": "X-WX-OPENID", "description": "由微信云托管加上"}}
STREAM = Media(
    {
        "text/event-stream": {
            "type": "object",
            "description": (
                "事件流（UTF-8），每个事件有 `event`、`id`（位置）和一行 JSON 的 `data`："
                "`start {conversation_id, turn_id}`、`reasoning {text}`、`delta {text, next}`、"
                "`reset {}`（清空已显示的内容）、`done {reply, finish_reason, usage, status}`、"
                "`error {code, detail}`。没有新内容时每 15 秒有一行注释。"
            ),
            "properties": {
                "event": {"enum": ["start", "reasoning", "delta", "reset", "done", "error"]},
                "id": {"type": "string"},
                "data": {"type": "string"},
            },
            "required": ["event", "id", "data"],
        }
    }
)


def _operation(path: str, method: str, route: Route, settings: Settings) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    refusals = set(route.refusals) | ({404} if names else set())
    login = route.login and (settings.chat_login or path != "/chat")
    if not login and route.login:
        refusals -= {401}
    told: dict[str, Any] = {
        "summary": route.summary,
        "tags": [route.group],
        "operationId": re.sub(r"[^a-z]+", "_", f"{method}{path}".removesuffix("}")),
        "security": [{name: []} for name in _SESSION | (_CLOUD if settings.wechat_cloud else {})] if login else [],
        "parameters": [
            {"name": name, "in": "path", "required": True, "description": _IDS[name], "schema": {"type": "string"}}
            for name in names
        ],
        "responses": {},
    }
    if route.about:
        told["description"] = route.about
    told["parameters"] += [
        {"name": one.name, "in": one.place, "description": one.about, "schema": dict(one.schema)}
        for one in route.parameters
    ]
    if route.body is not None:
        content = _content(route.body)
        if route.example and route.example.body is not None:
            content["application/json"]["example"] = route.example.body
        told["requestBody"] = {"required": True, "content": content}
    for status, answer in route.answers.items():
        response: dict[str, Any] = {"description": _MEANS.get(status, ""), "headers": dict(_EVERY)}
        if answer is not None:
            response["content"] = _content(answer)
            if route.example and status == route.example.status:
                next(iter(response["content"].values()))["example"] = route.example.answer
        if route.streams and status == 200:
            response["content"] |= _content(STREAM)
        told["responses"][str(status)] = response
    for status in sorted(refusals):
        headers = _EVERY | (_RETRY if status in (429, 503) else {})
        codes = "、".join(f"`{code}`" for code in codes_by_status()[status])
        told["responses"].setdefault(
            str(status), {"description": f"{_MEANS[status]}：{codes}", "headers": headers, "content": _PROBLEM}
        )
    return told


def _content(content: Content) -> dict[str, Any]:
    if isinstance(content, Media):
        return {kind: {"schema": dict(schema)} for kind, schema in content.types.items()}
    assert content is not None
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{content.__name__}"}}}


def _for_readers(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the docstring, which is for those who read the code; a field that may be null keeps its meaning."""
    for one in schema.get("properties", {}).values():
        for choice in one.get("anyOf", ()):
            if about := choice.pop("description", None):
                one.setdefault("description", about)
    return {name: value for name, value in schema.items() if name != "description"}


_IDS = {"turn_id": "提问时得到的编号", "conversation_id": "对话的编号"}
_EVERY = {"X-Request-Id": {"required": True, "schema": {"type": "string"}, "description": "这次请求的编号"}}
_RETRY = {"Retry-After": {"required": True, "schema": {"type": "integer"}, "description": "几秒后再试"}}
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_MEANS = {
    200: "成功",
    201: "已记录",
    202: "还没写完，稍后用 GET /api/turns/{turn_id} 继续看",
    204: "成功，没有内容",
    400: "请求有误",
    401: "没有登录，或登录已失效",
    403: "用户已被停用",
    404: "不存在，或不属于当前用户",
    408: "请求发得太慢",
    409: "与当前状态冲突",
    413: "内容太大",
    415: "内容类型不对",
    422: "内容没有通过审核",
    429: "超过次数限制",
    500: "出错了",
    501: "服务器没有配置这项功能",
    503: "暂时不可用",
}
