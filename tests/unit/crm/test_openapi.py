from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import falcon.inspect
import jsonschema_rs
import pytest

from crm_api.openapi import document_text
from crm_api.resources.declaration import Served
from crm_api.resources.openapi_page import FILES, PAGE, START, swagger_ui_directory
from crm_api.resources.rendering import STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from falcon.testing import TestClient

KEPT = Path(__file__).parents[3] / "docs/openapi.json"
API_PAGE = Path(__file__).parents[3] / "docs/api.md"


@pytest.fixture
def document(client: TestClient) -> Any:
    return client.simulate_get("/v1/openapi.json").json


def operations(document: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def examples_in(operation: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (where, schema, example) of everything that an operation shows."""
    for parameter in operation["parameters"]:
        if "example" in parameter:
            yield parameter["name"], parameter["schema"], parameter["example"]
    bodies = [("body", operation.get("requestBody", {}).get("content", {}))]
    bodies += [(status, answer.get("content", {})) for status, answer in operation["responses"].items()]
    for where, content in bodies:
        for shown in content.values():
            if "schema" not in shown:
                continue
            if "example" in shown:
                yield where, shown["schema"], shown["example"]
            for example in shown.get("examples", {}).values():
                yield where, shown["schema"], example["value"]


def test_every_route_is_declared_and_every_declaration_is_in_the_document(client: TestClient, document: Any) -> None:
    routed = set()
    for route in falcon.inspect.inspect_routes(client.app):
        assert route.class_name == Served.__name__, f"{route.path} is routed, yet not declared"
        path = re.sub(r"{(\w+):[^{}]*(\([^()]*\))?}", r"{\1}", route.path)
        routed |= {f"{method.method} {path}" for method in route.methods if not method.internal}
    assert routed == {name for name, _ in operations(document)}
    assert len(routed) > 50


def test_every_example_is_right(document: Any) -> None:
    components = {"components": document["components"]}

    @functools.cache
    def validator(schema: str) -> Any:
        return jsonschema_rs.Draft202012Validator({**json.loads(schema), **components})

    wrong = []
    for name, operation in operations(document):
        shown = 0
        for where, schema, example in examples_in(operation):
            errors = validator(json.dumps(schema, sort_keys=True)).iter_errors(example)
            wrong += [f"{name} {where}: {error.message}" for error in errors]
            shown += 1
        assert shown, f"{name} has no example"
    assert not wrong, "\n".join(wrong)


def test_every_operation_is_described(document: Any) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert any(status.startswith("2") for status in operation["responses"]), name


def test_every_schema_is_one(document: Any) -> None:
    assert document["openapi"].startswith("3.1.")
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    text = str(document)
    for name in re.findall(r"#/components/schemas/([^'\"]+)", text):
        assert name in document["components"]["schemas"], name


def test_programmers_are_told_of_every_kind_of_problem_and_of_no_other() -> None:
    """Clients decide by `type`: it may not change unnoticed."""
    lines = re.findall(
        r"^\| ((?:`[a-z-]+`(?:, )?)+) \| ([0-9, ]+) \|", API_PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    told = {
        (kind, int(status))
        for kinds, statuses in lines
        for kind, status in zip(re.findall("`([a-z-]+)`", kinds), statuses.split(","), strict=True)
    }
    assert told == {(kind, status) for kind, (status, _) in STATUS.items()}


def test_the_kept_document_is_this_one() -> None:
    assert KEPT.read_text(encoding="utf-8") == document_text(), "run: make openapi"


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.simulate_get("/v1/docs")
    assert page.text == PAGE
    loaded = re.findall(r'(?:src|href)="([^"]*)"', PAGE)
    assert len(loaded) == 4
    for address in loaded:
        assert client.simulate_get(f"/v1/{address}").status_code == 200, address
    css = (swagger_ui_directory() / "swagger-ui.css").read_text(encoding="utf-8")
    for text in (PAGE, START, css):
        assert not re.search(r"""(?:src|href|url|import)\s*[=:(]?\s*["'(]?\s*(?:https?:)?//""", text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*", policy)


def test_the_pages_files_and_no_others_are_served(client: TestClient) -> None:
    for file, content_type in FILES.items():
        answer = client.simulate_get(f"/v1/docs/{file}")
        assert answer.headers["content-type"] == content_type
        assert answer.content == (swagger_ui_directory() / file).read_bytes()
    for file in ("..%2f__init__.py", "core.py", "swagger-ui.js.map", "%2e%2e"):
        assert client.simulate_get(f"/v1/docs/{file}").status_code == 404
