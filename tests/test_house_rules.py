"""The rules of the house (`core/__init__.py`): who may import whom, and every error is answered at every edge."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import core
from core.errors import ChatError, error_of
from tests.server import ROOT
from wechat import problems
from wechat.wording import INTERNAL, SENTENCES, sentence

FRAMEWORKS = {"flask", "flask_cors", "werkzeug", "gunicorn", "gradio", "fastapi", "starlette", "uvicorn", "wechatpy"}
CODES = {
    "invalid_message": 400,
    "unauthorized": 401,
    "user_blocked": 403,
    "not_found": 404,
    "conflict": 409,
    "content_blocked": 422,
    "quota_exceeded": 429,
    "model_error": 500,
    "internal": 500,
    "not_configured": 501,
    "busy": 503,
    "model_unavailable": 503,
    "model_timeout": 503,
}  # of the contract


# ---- Imports


def modules(package: str) -> dict[str, Path]:
    """Name → file of every module of a package (none where there is no such package)."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


OURS = {**modules("core"), **modules("wechat"), **modules("admin"), "app": ROOT / "app.py"}


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All of a module but what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from nodes(node)


@cache
def imports(module: str) -> frozenset[str]:
    """Everything a module imports, wherever in it: full names of ours, of others the first part."""
    found = set()
    for node in nodes(ast.parse(OURS[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                found.add(inner if inner in OURS else str(node.module))
    return frozenset(name if name in OURS else name.partition(".")[0] for name in found)


def offences(package: str, *forbidden: str) -> list[str]:
    """Who in a package imports one of these (or what is inside of it)."""
    return [
        f"{module} imports {name}"
        for module in modules(package)
        for name in sorted(imports(module))
        if name.partition(".")[0] in forbidden
    ]


def all_below(module: str, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """Every module of ours that is imported by this one, directly or not."""
    for name in imports(module) & OURS.keys() - seen:
        seen = all_below(name, seen | {name})
    return seen


def test_core_imports_no_framework_and_no_edge() -> None:
    assert offences("core", *FRAMEWORKS, "wechat", "admin", "app", "tests") == []


def test_the_edges_never_import_each_other() -> None:
    assert offences("wechat", "admin", "app", "gradio", "tests") == []
    assert offences("admin", "wechat", "app", "flask", "tests") == []


def test_only_app_imports_both_edges() -> None:
    both = [
        path.relative_to(ROOT)
        for path in [*ROOT.glob("*.py"), *(OURS[name] for name in OURS)]
        if re.search(r"(?m)^\s*(from|import) wechat\b", text := path.read_text(encoding="utf-8"))
        and re.search(r"(?m)^\s*(from|import) admin\b", text)
    ]
    assert {str(path) for path in both} <= {"app.py"}
    assert any(name.startswith("wechat") for name in imports("app"))


def layers() -> Iterator[list[str]]:
    """The lines of the table in the docstring of `core`."""
    for line in (core.__doc__ or "").splitlines():
        if line.startswith("    "):
            yield re.split(r", ", re.split(r" {2,}", line.strip())[0])


def test_each_module_of_core_imports_only_what_stands_above_it() -> None:
    above: list[str] = []
    for layer in layers():
        for name in layer:
            inside = [one for one in OURS if one == f"core.{name}" or one.startswith(f"core.{name}.")]
            assert inside, f"core/__init__.py speaks of {name}, which is not there"
            used = frozenset().union(*(all_below(one) for one in inside))
            listed = {other for later in layers() for other in later if any_of(other, used)}
            assert listed <= {*above, name}, f"{name} imports what stands below it"
            above.append(name)
    assert above[0] == "errors" and above[-1] == "engine"


def any_of(name: str, used: frozenset[str]) -> bool:
    return any(one == f"core.{name}" or one.startswith(f"core.{name}.") for one in used)


def test_the_first_line_imports_nothing_of_ours() -> None:
    first = next(layers())
    assert {"errors", "messages", "settings", "logs"} == set(first)
    for name in first:
        assert imports(f"core.{name}").isdisjoint(OURS), name


def test_no_two_modules_import_each_other_in_a_circle() -> None:
    assert [name for name in OURS if name in all_below(name)] == []


def test_the_engine_runs_where_no_framework_is_loaded() -> None:
    program = (
        f"import sys, core.engine, core.writers; print(*({FRAMEWORKS | {'wechat', 'admin'}!r} & sys.modules.keys()))"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == []


# ---- Errors


def tree(kind: type[ChatError]) -> list[type[ChatError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]


for name in (*modules("core"), *modules("wechat")):
    if "migrations" not in name:
        importlib.import_module(name)  # so that every subclass is known, wherever it is defined
ERRORS = [kind for kind in tree(ChatError) if kind.__module__.partition(".")[0] in ("core", "wechat", "admin")]


def example(kind: type[ChatError]) -> ChatError:
    if kind.__init__ is Exception.__init__:
        return kind("in English, for the log")
    values: dict[Any, Any] = {str: "minute", int: 7, float: 7.0}
    given = [one for one in inspect.signature(kind).parameters.values() if one.kind == one.POSITIONAL_OR_KEYWORD]
    return kind(*(values[one.annotation] for one in given))


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_a_status_and_a_sentence(kind: type[ChatError]) -> None:
    assert kind.code in CODES
    status = next(problems.STATUS[one] for one in kind.__mro__ if one in problems.STATUS)
    assert status == CODES[kind.code]
    error = example(kind)
    told = sentence(error)
    foreign = ("AI", getattr(error, "field", "AI"))  # a field of the request has the name it has
    chinese = re.sub("|".join(foreign), "", told)
    assert re.search("[\u4e00-\u9fff]", chinese) and not re.search("[{}a-zA-Z]", chinese)
    assert (told == INTERNAL) == (kind.code == "internal")


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_becomes_a_problem_response(kind: type[ChatError]) -> None:
    error = example(kind)
    with Flask("test").app_context():
        response = problems.of_error(error)
    body = response.get_json(force=True)
    assert response.status_code == body["status"] == CODES[kind.code]
    assert (body["code"], body["detail"]) == (kind.code, sentence(error))
    assert response.content_type == "application/problem+json"
    assert ("Retry-After" in response.headers) == (response.status_code in (429, 503))
    assert str(error) not in body["detail"]


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_stored_by_its_code_comes_back_as_an_error_of_that_code(kind: type[ChatError]) -> None:
    found = error_of(kind.code)
    assert found.code == kind.code
    assert issubclass(kind, found)
    assert len(kind.code) <= 32  # what the database holds


def test_no_status_or_sentence_is_left_of_an_error_that_is_gone() -> None:
    assert set(problems.STATUS) <= set(ERRORS)
    assert set(SENTENCES) <= set(ERRORS)
    assert {kind.code for kind in ERRORS} == set(CODES)
