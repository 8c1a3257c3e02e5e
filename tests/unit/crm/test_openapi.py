from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import falcon.inspect
import jsonschema_rs
import pytest

from crm_api.adapters.plan_cache import PlanCache
from crm_api.app import declared
from crm_api.openapi import document_text
from crm_api.resources import described, openapi_page
from crm_api.resources.declaration import Served
from crm_api.resources.described import OF_EVERY_NOUN
from crm_api.resources.emergency_words import OF_EMERGENCY
from crm_api.resources.field_words import WORDS
from crm_api.resources.noun_words import OF_NOUN
from crm_api.resources.openapi_page import FILES, PAGE, START, swagger_ui_directory
from crm_api.resources.rendering import STATUS
from crm_api.tables.models import table_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from falcon.testing import TestClient

    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase

KEPT = Path(__file__).parents[3] / "docs/openapi.json"
API_PAGE = Path(__file__).parents[3] / "docs/api.md"


@pytest.fixture
def document(client: TestClient) -> Any:
    return client.simulate_get("/v1/openapi.json").json


def operations(document: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def undescribed(document: Any) -> Iterator[tuple[str, str]]:
    """Yield (model, field) of every field that says nothing of itself."""
    for model, schema in document["components"]["schemas"].items():
        for field, shown in schema.get("properties", {}).items():
            if not shown.get("description"):
                yield model, field


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
    bare = []
    for name, operation in operations(document):
        assert operation["summary"], name
        assert any(status.startswith("2") for status in operation["responses"]), name
        said, _, roles = operation["description"].rpartition("\n\n")
        assert re.fullmatch(r"Roles: .+\.|No token is needed\.", roles), name
        if not said.strip() or said.strip(". ") == operation["summary"]:
            bare.append(name)
    assert bare == [], f"say what the summary does not: `description` of the Operation (crm_api/endpoints): {bare}"


def test_every_field_is_described(document: Any) -> None:
    """A name alone says neither the unit, nor what 0 or null means, nor where a value comes from."""
    bare = [f"{described.noun_of(model)}.{field} ({model})" for model, field in undescribed(document)]
    assert bare == [], (
        "describe them: by name in crm_api/resources/field_words.py when they mean the same everywhere, as "
        f"`Noun.field` in crm_api/resources/noun_words.py or emergency_words.py, or in a docstring: {bare}"
    )


def test_every_parameter_is_described(document: Any) -> None:
    bare = [
        f"{name}: {parameter['name']}"
        for name, operation in operations(document)
        for parameter in operation["parameters"]
        if not parameter.get("description")
    ]
    assert bare == [], f"describe the field of its query, or the Key of its path: {bare}"


def test_no_word_of_the_vocabulary_is_unused_or_said_twice(document: Any) -> None:
    """A field that is no more takes its word with it; one that says it of itself needs none."""
    used = set()
    for model, schema in document["components"]["schemas"].items():
        for field, shown in schema.get("properties", {}).items():
            word = described.word_of(model, field)
            if word is not None and shown.get("description") in {word, described.filter_by(word)}:
                of_noun = f"{described.noun_of(model)}.{field}"
                used.add(of_noun if of_noun in OF_EVERY_NOUN else field)
    assert sorted((WORDS.keys() | OF_EVERY_NOUN.keys()) - used) == []
    assert [key for key, word in OF_EVERY_NOUN.items() if WORDS.get(key.partition(".")[2]) == word] == []


def test_words_are_sorted_and_say_something() -> None:
    for words in (WORDS, OF_NOUN, OF_EMERGENCY):
        assert list(words) == sorted(words)
        assert [name for name, word in words.items() if len(word.split()) < 3 or word != word.strip(" .;,")] == []
    moments = [name for name in WORDS if name.endswith(("_at_ms", "_until_ms"))]
    assert [name for name in moments if "epoch milliseconds" not in WORDS[name]] == []


def test_every_answer_has_an_example(document: Any) -> None:
    bare = [
        f"{name} {status}"
        for name, operation in operations(document)
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for shown in answer.get("content", {}).values()
        if shown.get("example", "") == ""
    ]
    assert bare == [], f"give the Answer an example: {bare}"


def test_a_filter_and_what_is_shown_are_told_in_the_same_words() -> None:
    number = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    components: dict[str, Any] = {
        "PanelQuery": {"properties": {"gate_id": {**number}, "cursor": {**number}}},
        "PanelDocument": {"properties": {"gate_id": {**number}, "colour": {**number}}},
        "NewPanel": {"properties": {"gate_id": {**number, "description": "of its own"}}},
    }
    described.describe(components, {"PanelQuery"})
    said = {
        f"{model}.{field}": shown.get("description")
        for model, schema in components.items()
        for field, shown in schema["properties"].items()
    }
    assert said == {
        "PanelQuery.gate_id": "filter: id of the gate (`/v1/gates`) where it stands",
        "PanelQuery.cursor": WORDS["cursor"],
        "PanelDocument.gate_id": "id of the gate (`/v1/gates`) where it stands; null: at an entrance",
        "PanelDocument.colour": None,
        "NewPanel.gate_id": "of its own",
    }


@pytest.mark.parametrize(
    ("model", "noun"),
    [
        ("NewPanel", "Panel"),
        ("PanelChange", "Panel"),
        ("PanelQuery", "Panel"),
        ("NewTokenDocument", "Token"),
        ("AccountWithPassword", "Account"),
        ("CallWithBranches", "Call"),
        ("DoorOpeningAnswer", "DoorOpeningAnswer"),
    ],
)
def test_the_models_of_a_noun_share_its_words(model: str, noun: str) -> None:
    assert described.noun_of(model) == noun


def test_the_document_is_made_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.simulate_get("/v1/openapi.json").content
    monkeypatch.setattr(openapi_page, "openapi_document", None)
    assert client.simulate_get("/v1/openapi.json").content == first


def test_a_removal_tells_what_keeps_it_from_being_done(database: CrmDatabase, services: Services) -> None:
    """Of tables with rows that others refer to, and that are not taken along, the description has 409."""
    if database.dialect != "sqlite":
        pytest.skip("the constraints are the same, and SQLite tells them in fewer words")
    tables = [name for (name,) in database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    holding = {
        referred
        for table in tables
        for _, _, referred, _, to, _, on_delete, _ in database.rows(f"PRAGMA foreign_key_list({table})")
        if on_delete not in {"CASCADE", "SET NULL"} and to in {None, "id"}
    }
    holding.remove("residents")  # the service removes the accounts that are his own before
    told = 0
    for endpoint in declared(services, database, PlanCache("redis://127.0.0.1:1/0")):
        for operation in endpoint.operations:
            service: Any = getattr(endpoint.resource, "_service", None)
            if operation.method == "DELETE" and hasattr(service, "model") and table_name(service.model) in holding:
                told += 1
                assert "409" in operation.description, f"{endpoint.path}: `removal` says what keeps it (409)"
    assert told == len(holding)


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


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [
        ("houses", ("100,000 rows", "1,048,576 lines", "50,000 entrances")),
        ("apartments", ("100,000 rows", "1,048,576 lines", "50,000 apartments")),
        ("residents", ("100,000 rows", "1,048,576 lines", "200,000 phones")),
        ("keys", ("100,000 rows", "1,048,576 lines")),
    ],
)
def test_how_much_a_file_may_have_is_told(document: Any, kind: str, bounds: tuple[str, ...]) -> None:
    told = document["paths"][f"/v1/imports/{kind}"]["post"]["description"]
    assert [bound for bound in bounds if bound not in told] == []
