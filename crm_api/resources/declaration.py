"""How an endpoint is declared: one `Endpoint` a path, from which Falcon's route and the OpenAPI document are made.

What is not declared is not routed: a responder `on_...` without its `Operation` cannot be reached.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from crm_api.domain.inputs.base import MAX_ID, PageQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import falcon

    from crm_api.domain.access import Role
    from crm_api.domain.inputs.base import Input
    from crm_api.domain.outputs.base import Output

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
RequestHeader = Literal["If-Match", "Idempotency-Key"]
CHANGING: Final = frozenset({"PATCH", "PUT"})
"""Methods that write over what is there, and so must say in `If-Match` what they have read."""

JSON: Final = "application/json"
CSV: Final = "text/csv"

_PARAMETER: Final = re.compile(r"{(\w+)(?::[^{}]*)?}")


@dataclass(frozen=True)
class Key:
    """A parameter of the path."""

    description: str
    example: int | str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string", "minLength": 1})


ID: Final = f"{{key:int(min=1, max={MAX_ID})}}"
"""The place of a row's id in a path: `f"/v1/houses/{ID}"`."""
ID_SCHEMA: Final = {"type": "integer", "minimum": 1, "maximum": MAX_ID}


def id_key(noun: str) -> dict[str, Key]:
    """Return the parameters of a path with `ID` in it."""
    return {"key": Key(f"id of the {noun}", 1, ID_SCHEMA)}


@dataclass(frozen=True)
class Answer:
    """A success.

    Args:
        status: 200, 201, 202 or 204.
        description: one sentence.
        document: what the body is, None for an empty one or one that is no JSON.
        is_page: the body is a page of such documents.
        media_types: other than JSON, such as CSV, for a body without `document`.
        headers: those worth knowing: `ETag`, `Location`.
        example: shown instead of `document.EXAMPLE`.
    """

    status: int
    description: str
    document: type[Output] | None = None
    is_page: bool = False
    media_types: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    example: Any = None


@dataclass(frozen=True)
class Operation:
    """One method of a path.

    Args:
        method: of HTTP.
        summary: a few words, shown in the list of operations.
        allowed: roles that may use it (`crm_api.domain.access`); None: no token is needed.
        answers: its successes.
        description: what the summary does not say.
        body: model of the JSON body; its `EXAMPLE` is shown.
        upload: media types of a body that is no JSON, such as CSV.
        upload_example: an example of that.
        query: model of the query.
        headers: request headers that it understands.
        problems: kinds of problems (`crm_api.resources.rendering.STATUS`) beyond those that follow from the rest.
        of_oneself: changes nothing but what belongs to the one who asks.
        outcomes: answers of 400 and above that are documents of their own and no problems, with their description.
    """

    method: Method
    summary: str
    allowed: frozenset[Role] | None
    answers: tuple[Answer, ...]
    description: str = ""
    body: type[Input] | None = None
    upload: tuple[str, ...] = ()
    upload_example: str = ""
    query: type[Input] | None = None
    headers: tuple[RequestHeader, ...] = ()
    problems: frozenset[str] = frozenset()
    of_oneself: bool = False
    outcomes: Mapping[int, tuple[str, type[Output]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """One path with its operations.

    Args:
        path: Falcon's template, such as `/v1/houses/{key:int(min=1)}`.
        tag: heading under which the OpenAPI page shows it.
        resource: has a responder `on_get`, `on_post` ... for each operation.
        operations: all its methods.
        keys: every parameter of the path.
    """

    path: str
    tag: str
    resource: object
    operations: tuple[Operation, ...]
    keys: Mapping[str, Key] = field(default_factory=dict)

    @property
    def plain_path(self) -> str:
        """The path without Falcon's converters, as OpenAPI writes it."""
        return _PARAMETER.sub(r"{\1}", self.path)


class Served:
    """What Falcon routes to: the declared responders of an endpoint, and what was declared of them."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Take the responders.

        Raises:
            ValueError: a responder or a parameter is missing, or something is declared twice.
        """
        self.endpoint = endpoint
        self.operations: dict[str, Operation] = {operation.method: operation for operation in endpoint.operations}
        if len(self.operations) != len(endpoint.operations):
            raise ValueError(f"{endpoint.path}: a method is declared twice")
        named = set(_PARAMETER.findall(endpoint.path))
        if named != set(endpoint.keys):
            raise ValueError(f"{endpoint.path}: keys {sorted(endpoint.keys)} are declared, {sorted(named)} are there")
        for method in self.operations:
            responder = getattr(endpoint.resource, f"on_{method.lower()}", None)
            if responder is None:
                raise ValueError(f"{endpoint.path}: {type(endpoint.resource).__name__} has no on_{method.lower()}")
            setattr(self, f"on_{method.lower()}", responder)


def add_routes(app: falcon.App[Any, Any], endpoints: Iterable[Endpoint]) -> None:
    """Route every endpoint."""
    for endpoint in endpoints:
        app.add_route(endpoint.path, Served(endpoint))


def problems_of(operation: Operation, endpoint: Endpoint) -> frozenset[str]:
    """Return every kind of problem that an operation may answer."""
    kinds = {"unavailable", "internal"} | operation.problems
    if operation.allowed is not None:
        kinds |= {"unauthorised", "forbidden"}
    if endpoint.keys:
        kinds |= {"not-found", "invalid-fields"}  # invalid: a NUL in a name, which the database does not take
    if operation.body is not None or operation.upload:
        kinds |= {"invalid-fields", "too-large", "broken-off"}
        if operation.allowed is None:
            kinds.add("length-required")
    if operation.query is not None:
        kinds.add("invalid-fields")
        if issubclass(operation.query, PageQuery):
            kinds.add("wrong-cursor")
    if "If-Match" in operation.headers:
        kinds |= {"stale", "invalid-fields"} | ({"precondition-required"} if operation.method in CHANGING else set())
    if "Idempotency-Key" in operation.headers:
        kinds |= {"idempotency-key-reused", "invalid-fields"}
    return frozenset(kinds)


def operation_of(req: falcon.Request) -> Operation:
    """Return what is declared of the request at hand."""
    operation: Operation = req.context.operation
    return operation


def is_public(req: falcon.Request) -> bool:
    """Say whether nobody looked at a token: of what is declared so, and of nothing else."""
    operation: Operation | None = getattr(req.context, "operation", None)
    return operation is not None and operation.allowed is None
