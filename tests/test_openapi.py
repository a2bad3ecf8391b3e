"""/openapi.json says what the API does, and nothing else; /docs shows it to people."""

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest
import requests
from hypothesis import HealthCheck, given, settings, strategies

from tests.house import House, housing
from tests.server import User

TABLE = """
GET /health, GET /ready, GET /metrics, GET /openapi.json, GET /docs, POST /api/login, POST /api/logout, GET /api/me,
DELETE /api/me, POST /chat, POST /api/chat, POST /api/turns/{turn_id}/regenerate, GET /api/turns/{turn_id},
GET /api/turns/{turn_id}/stream, POST /api/turns/{turn_id}/stop, POST /api/turns/{turn_id}/rating,
POST /api/turns/{turn_id}/report, GET /api/conversations, GET /api/conversations/{conversation_id},
PUT /api/conversations/{conversation_id}, DELETE /api/conversations/{conversation_id}, DELETE /api/conversations,
POST /api/transcriptions
"""
IN_TURN = """
POST /api/login, GET /health, GET /ready, GET /api/me, POST /chat, POST /api/chat, GET /api/turns/{turn_id},
GET /api/turns/{turn_id}/stream, POST /api/turns/{turn_id}/stop, GET /api/conversations,
GET /api/conversations/{conversation_id}, POST /api/turns/{turn_id}/rating, POST /api/turns/{turn_id}/report,
POST /api/turns/{turn_id}/regenerate, PUT /api/conversations/{conversation_id},
DELETE /api/conversations/{conversation_id}, DELETE /api/conversations, GET /metrics, POST /api/logout
"""
LINES = sorted(line.strip() for line in TABLE.replace("\n", " ").split(","))
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "6"))  # per operation, of valid and of invalid requests
FREE = {
    line for line in LINES if line in ("GET /docs", "GET /health", "GET /metrics", "GET /openapi.json", "GET /ready")
}
NOT_PROMISED = {  # of what schemathesis expects of every API
    "POST /chat": ["positive_data_acceptance"],  # the last message has to be a user's: no schema can say so
    "POST /api/transcriptions": ["positive_data_acceptance"],  # most bytes are no recording
    # Whatever else stands in a query is passed over.
    "GET /api/conversations": ["negative_data_rejection"],
    "GET /api/conversations/{conversation_id}": ["negative_data_rejection"],
    "POST /api/logout": ["ignored_auth"],  # a token that was revoked before is as good as revoked now
}
SEEN_AGAIN_AS_OTHERS = (
    "id",
    "token",
    "receipt",
    "_at",
    "used_today",
    "per_day",
    "name",
    "voice",
)  # values of an example


@pytest.fixture(scope="module")
def described(house_for_reading: House) -> dict[str, Any]:
    document: dict[str, Any] = requests.get(f"{house_for_reading.api.url}/openapi.json", timeout=10).json()
    return document


@pytest.fixture(scope="module")
def house_for_reading(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[House]:
    with housing(tmp_path_factory.mktemp("described"), simulator, {"asr_api_url": "http://127.0.0.1:9/"}) as house:
        yield house


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def test_everything_is_described_and_nothing_else(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.")
    assert described["info"]["title"] == "小程序 AI 对话后端"
    told = {f"{method} {path}" for path, method, _ in operations(described)}
    assert sorted(told) == LINES
    names = [operation["operationId"] for _, _, operation in operations(described)]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere_and_every_schema_is_one(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    for name in re.findall(r'"\$ref":\s*"#/components/schemas/([^"]+)"', str(described).replace("'", '"')):
        assert name in schemas
    for name, schema in schemas.items():
        jsonschema_rs.meta.validate(schema), name
        assert re.search("[a-z]", name)


def test_what_is_shown_to_people_is_chinese(described: dict[str, Any]) -> None:
    for path, method, operation in operations(described):
        told = [operation["summary"], *(one["description"] for one in operation["responses"].values())]
        told += [one["description"] for one in operation["parameters"]]
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            body = described["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            told += [field.get("description", "") for field in body["properties"].values()]
        assert all(re.search("[\u4e00-\u9fff]", text) for text in told), (method, path, told)


# Examples


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    return {**schema, "components": document["components"]}


def check(document: dict[str, Any], operation: dict[str, Any], response: requests.Response) -> dict[str, Any] | None:
    """A response is as described; its example, if there is one."""
    told = operation["responses"][str(response.status_code)]
    if "content" not in told:
        assert response.content == b""
        return None
    kind = response.headers["Content-Type"].partition(";")[0]
    content = told["content"][kind]
    if kind == "application/json":
        validator = jsonschema_rs.validator_for(resolved(document, content["schema"]))
        validator.validate(response.json())
        if "example" in content:
            validator.validate(content["example"])
            return dict(content["example"])
    return None


def assert_alike(example: Any, real: Any, name: str = "") -> None:
    """The same shape, and the same values but for those that are others each time."""
    if isinstance(example, dict):
        assert example.keys() == real.keys(), name
        for key, value in example.items():
            assert_alike(value, real[key], key)
    elif isinstance(example, list):
        for one, other in zip(example, real, strict=True):
            assert_alike(one, other, name)
    elif any(name.endswith(part) for part in SEEN_AGAIN_AS_OTHERS):
        assert isinstance(real, type(example)), name
    else:
        assert real == example, name


def test_every_example_is_true(house_for_reading: House, described: dict[str, Any], simulator: str) -> None:
    house = house_for_reading
    user = house.login()
    code = requests.post(f"{simulator}/desk/login", json={}, timeout=10).json()["code"]
    ids: dict[str, str] = {}
    sent = set()

    def send(method: str, path: str) -> None:
        operation = described["paths"][path][method.lower()]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        where = path.format(**ids)
        if path == "/api/login":
            body = body | {"code": code}  # works once
        response = user.call(method, where, json=body) if body is not None else user.call(method, where)
        assert response.ok, (where, response.text)
        example = check(described, operation, response)
        if example is not None:
            assert_alike(example, response.json())
            if path in ("/api/chat", "/api/turns/{turn_id}/regenerate"):
                ids.update({name: response.json()[name] for name in ("turn_id", "conversation_id")})
        if body is not None or example is not None:
            sent.add((method, path))

    for line in IN_TURN.replace("\n", " ").split(","):
        send(*line.split())  # type: ignore[arg-type]
    given = {(method, path) for path, method, operation in operations(described) if "'example'" in str(operation)}
    assert given == sent


# The page


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_everything_and_loads_nothing(house_for_reading: House, described: dict[str, Any]) -> None:
    response = requests.get(f"{house_for_reading.api.url}/docs", timeout=10)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy and "unsafe" not in policy
    page = Page()
    page.feed(response.content.decode())
    for path, _, operation in operations(described):
        assert path in page.text and operation["summary"] in page.text
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "object")
        assert "src" not in attributes and "style" not in attributes
        assert not (attributes.get("href") or "").startswith(("http", "//"))
    assert "小程序 AI 对话后端" in page.text


# Anything that may come


@pytest.fixture(scope="module")
def somebody(house_for_reading: House) -> dict[str, Any]:
    user = house_for_reading.login()
    turn = user.ask("我的问题").json()
    return {"user": user, "turn_id": turn["turn_id"], "conversation_id": turn["conversation_id"]}


@pytest.fixture(scope="module")
def loaded(described: dict[str, Any]) -> Any:
    import schemathesis  # here, since every worker loads this file, and one of them needs it

    return schemathesis.openapi.from_dict(described)


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("line", LINES)
def test_whatever_is_sent_is_answered_as_described(
    line: str, mode: str, loaded: Any, house_for_reading: House, somebody: dict[str, Any]
) -> None:
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi import checks

    method, path = line.split()
    house, left_out = house_for_reading, [getattr(checks, name) for name in NOT_PROMISED.get(line, [])]
    if line in FREE and mode == "negative":
        return  # there is nothing to get wrong

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=loaded[path][method].as_strategy(generation_mode=GenerationMode(mode)), mine=strategies.booleans())
    def run(case: Any, mine: bool) -> None:
        user: User = somebody["user"]
        if line in ("DELETE /api/me", "POST /api/logout"):
            user = house.login()
        if mine and case.path_parameters:
            case.path_parameters = {name: somebody[name] for name in case.path_parameters}
        case.call_and_validate(base_url=house.api.url, headers=user.headers, excluded_checks=left_out)

    run()
