"""The OpenAPI 3.1 document, made from what the endpoints declare."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from crm_api.domain.outputs.base import Problem
from crm_api.resources.declaration import CHANGING, JSON, problems_of
from crm_api.resources.described import describe
from crm_api.resources.preconditions import IDEMPOTENCY_KEY_PATTERN, IF_MATCH_PATTERN
from crm_api.resources.rendering import PROBLEM_JSON, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel

    from crm_api.resources.declaration import Answer, Endpoint, Operation

API_VERSION: Final = "1.0.0"
DESCRIPTION: Final = """\
Everything an intercom operator keeps: places, people, devices, accounts, keys, rules, and what happened.

* Every request but `/health` and this document carries `Authorization: Bearer <token>`. A token sees the rows of its
  companies; those of others do not exist for it.
* Errors are `application/problem+json` (RFC 9457) with a stable `type`; `errors` names every wrong field at once.
* Lists come in pages: `next` is the `cursor` of the following page, for the same filters, sort and token.
* What is read has an `ETag`; `PATCH` and `PUT` need it in `If-Match`.
* `Idempotency-Key` makes a creation safe to repeat for 24 hours.
"""

_REF: Final = "#/components/schemas/{model}"
_Schema = dict[str, Any]

REQUEST_HEADERS: Final[dict[str, _Schema]] = {
    "If-Match": {
        "description": "ETag of what was read, or `*` for whatever is there. Another state answers 412.",
        "schema": {"type": "string", "pattern": IF_MATCH_PATTERN},
        "example": "*",
    },
    "Idempotency-Key": {
        "description": "A name of this creation, chosen by the client, such as a UUID. The same key with the same body "
        "gets the same answer for 24 hours, and nothing is made twice; with another body it is refused.",
        "schema": {"type": "string", "pattern": IDEMPOTENCY_KEY_PATTERN},
        "example": "3f0e6a1c-5d1b-4d0e-9a38-0f6c3a0b8f54",
    },
}
ANSWER_HEADERS: Final[dict[str, _Schema]] = {
    "ETag": {
        "description": "Names this state of the row, for `If-Match`.",
        "schema": {"type": "string"},
        "required": True,
    },
    "Location": {"description": "Address of what was made.", "schema": {"type": "string"}, "required": True},
}


def openapi_document(endpoints: Iterable[Endpoint]) -> _Schema:
    """Return the document of these endpoints, ready for JSON."""
    declared = tuple(endpoints)
    schemas = _schemas(declared)
    paths: dict[str, _Schema] = {}
    for endpoint in declared:
        path = paths.setdefault(endpoint.plain_path, {})
        for operation in endpoint.operations:
            path[operation.method.lower()] = _operation(endpoint, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Entryphone CRM",
            "version": API_VERSION,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in declared)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """JSON schemas of the models, by model."""

    def __init__(
        self,
        bodies: Iterable[type[BaseModel]],
        queries: Iterable[type[BaseModel]],
        documents: Iterable[type[BaseModel]],
    ) -> None:
        asked = dict.fromkeys((*bodies, *queries))
        models = [*((m, "validation") for m in asked), *((m, "serialization") for m in documents)]
        refs, definitions = models_json_schema(models, ref_template=_REF)  # type: ignore[arg-type]
        self._refs = {model: schema for (model, _), schema in refs.items()}
        self.components: _Schema = definitions.get("$defs", {})
        _without_titles(self.components)
        describe(self.components, {self._name(model) for model in queries})

    def of(self, model: type[BaseModel]) -> _Schema:
        """Return the reference to a model's schema."""
        return self._refs[model]

    def properties(self, model: type[BaseModel]) -> Iterator[tuple[str, bool, _Schema]]:
        """Yield each property of an object as (name, whether it is required, schema)."""
        schema = self.components[self._name(model)]
        for field, described in schema["properties"].items():
            yield field, field in schema.get("required", ()), described

    def _name(self, model: type[BaseModel]) -> str:
        return str(self._refs[model]["$ref"]).rpartition("/")[2]


def _schemas(endpoints: tuple[Endpoint, ...]) -> _Schemas:
    operations = [operation for endpoint in endpoints for operation in endpoint.operations]
    bodies = dict.fromkeys(o.body for o in operations if o.body is not None)
    queries = dict.fromkeys(o.query for o in operations if o.query is not None)
    documents: list[type[BaseModel]] = [a.document for o in operations for a in o.answers if a.document is not None]
    documents += [model for o in operations for _, model in o.outcomes.values()]
    documents.append(Problem)
    return _Schemas(bodies, queries, dict.fromkeys(documents))


def _without_titles(schema: Any) -> None:
    """Drop pydantic's titles: they repeat the names."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for part in schema.values():
            _without_titles(part)
    elif isinstance(schema, list):
        for part in schema:
            _without_titles(part)


def _operation(endpoint: Endpoint, operation: Operation, schemas: _Schemas) -> _Schema:
    described: _Schema = {
        "operationId": _operation_id(endpoint, operation),
        "tags": [endpoint.tag],
        "summary": operation.summary,
        "description": _described(operation),
        "parameters": [*_path_parameters(endpoint), *_query_parameters(operation, schemas), *_headers(operation)],
        "responses": _responses(endpoint, operation, schemas),
        "security": [] if operation.allowed is None else [{"token": []}],
    }
    if operation.body is not None:
        content = {JSON: {"schema": schemas.of(operation.body), "example": operation.body.EXAMPLE}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.upload:
        upload = {"schema": {"type": "string"}, "example": operation.upload_example}
        described["requestBody"] = {"required": True, "content": dict.fromkeys(operation.upload, upload)}
    return described


def _operation_id(endpoint: Endpoint, operation: Operation) -> str:
    words = re.findall(r"\w+", endpoint.plain_path.removeprefix("/v1").replace("-", "_"))
    return "_".join([operation.method.lower(), *words])


def _described(operation: Operation) -> str:
    roles = "No token is needed." if operation.allowed is None else f"Roles: {', '.join(sorted(operation.allowed))}."
    return f"{operation.description}\n\n{roles}" if operation.description else roles


def _path_parameters(endpoint: Endpoint) -> Iterator[_Schema]:
    for name, key in endpoint.keys.items():
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": key.description,
            "schema": dict(key.schema),
            "example": key.example,
        }


def _query_parameters(operation: Operation, schemas: _Schemas) -> Iterator[_Schema]:
    if operation.query is None:
        return
    for name, required, schema in schemas.properties(operation.query):
        shown = dict(schema)
        description = shown.pop("description", None)
        kinds = [kind for kind in shown.pop("anyOf", ()) if kind != {"type": "null"}]
        if kinds:  # in a query, "nothing" is said by leaving the parameter out
            shown.pop("default", None)
            shown |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        parameter: _Schema = {"name": name, "in": "query", "required": required, "schema": shown}
        if description:
            parameter["description"] = description
        yield parameter


def _headers(operation: Operation) -> Iterator[_Schema]:
    for name in operation.headers:
        required = name == "If-Match" and operation.method in CHANGING
        yield {"name": name, "in": "header", "required": required, **REQUEST_HEADERS[name]}


def _responses(endpoint: Endpoint, operation: Operation, schemas: _Schemas) -> _Schema:
    responses = {str(answer.status): _answer(answer, schemas) for answer in operation.answers}
    for status, (description, model) in operation.outcomes.items():
        content = {JSON: {"schema": schemas.of(model), "example": model.EXAMPLE}}
        responses[str(status)] = {"description": description, "content": content}
    by_status: dict[int, list[str]] = {}
    for kind in sorted(problems_of(operation, endpoint)):
        by_status.setdefault(STATUS[kind][0], []).append(kind)
    for status, kinds in by_status.items():
        examples = {kind: {"value": _problem_example(kind)} for kind in kinds}
        content = {PROBLEM_JSON: {"schema": schemas.of(Problem), "examples": examples}}
        described = {"description": "; ".join(STATUS[kind][1] for kind in kinds), "content": content}
        if str(status) in responses:  # an outcome of the same status: either document may come
            described["content"] |= responses[str(status)]["content"]
            described["description"] = f"{responses[str(status)]['description']}; {described['description']}"
        responses[str(status)] = described
    return dict(sorted(responses.items()))


def _answer(answer: Answer, schemas: _Schemas) -> _Schema:
    described: _Schema = {"description": answer.description}
    if answer.document is not None:
        schema = schemas.of(answer.document)
        example = answer.document.EXAMPLE if answer.example is None else answer.example
        if answer.is_page:
            schema = _page(schema)
            example = {"items": [example], "next": None}
        described["content"] = {JSON: {"schema": schema, "example": example}}
    elif answer.media_types:
        body = {"schema": {"type": "string"}} if answer.example is None else {"example": answer.example}
        described["content"] = dict.fromkeys(answer.media_types, body)
    if answer.headers:
        described["headers"] = {name: ANSWER_HEADERS[name] for name in answer.headers}
    return described


def _page(item: _Schema) -> _Schema:
    following = {"type": ["string", "null"], "description": "`cursor` of the next page; null on the last"}
    return {
        "type": "object",
        "properties": {"items": {"type": "array", "items": item}, "next": following},
        "required": ["items", "next"],
        "additionalProperties": False,
    }


def _problem_example(kind: str) -> _Schema:
    status, title = STATUS[kind]
    if kind == "invalid-fields":
        return Problem.EXAMPLE
    return {"type": f"urn:entryphone:problem:{kind}", "title": title, "status": status, "detail": title}
