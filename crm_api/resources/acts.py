"""Acts on a row that are neither change nor removal, what is told to us, and files that are sent as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.resources.authentication import tenant_of
from crm_api.resources.declaration import CSV, JSON
from crm_api.resources.preconditions import repeatable_of
from crm_api.resources.rendering import body_of, query_of, send
from crm_api.services.kept import etag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import falcon

    from crm_api.domain.inputs.base import Input
    from crm_api.services.context import Tenant
    from crm_api.services.idempotency import Repeatable
    from crm_api.services.kept import Document


class Act:
    """`POST .../{key}/<verb>` with a body of one or more fields, which are given to the service by name."""

    def __init__(self, act: Callable[..., Document], body: type[Input] | None = None) -> None:
        self._act = act
        self._body = body

    def on_post(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Act; the answer is the row as it is then."""
        fields = {} if self._body is None else body_of(req, self._body).model_dump()
        document = self._act(tenant_of(req), key, **fields)
        send(resp, document, 200, etag_of(document))


class Making:
    """`POST` of something that makes many rows, or (`dry_run`) tells what it would make."""

    def __init__(self, make: Callable[[Tenant, Any, Repeatable | None], Document], body: type[Input]) -> None:
        self._make = make
        self._body = body

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make; 201, or 200 when nothing was made."""
        wish = body_of(req, self._body)
        document = self._make(tenant_of(req), wish, repeatable_of(req, wish))
        send(resp, document, 200 if document["dry_run"] else 201)


class Told:
    """`POST` of something that happened elsewhere and is recorded here."""

    def __init__(self, record: Callable[[Tenant, Any, Repeatable | None], Document], body: type[Input]) -> None:
        self._record = record
        self._body = body

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Record."""
        event = body_of(req, self._body)
        send(resp, self._record(tenant_of(req), event, repeatable_of(req, event)), 201)


class Asked:
    """`GET` of one document that answers a query."""

    def __init__(self, answer: Callable[[Tenant, Any], Document], query: type[Input]) -> None:
        self._answer = answer
        self._query = query

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer."""
        send(resp, self._answer(tenant_of(req), query_of(req, self._query)))


class JsonFile:
    """`GET` of a document of any length, sent as it is read."""

    def __init__(self, pieces: Callable[[Tenant, Any], Iterable[str]], query: type[Input]) -> None:
        self._pieces = pieces
        self._query = query

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send."""
        pieces = self._pieces(tenant_of(req), query_of(req, self._query))
        resp.content_type = JSON
        resp.stream = (piece.encode() for piece in pieces)


class CsvFile:
    """`GET` of a file that is sent as it is read."""

    def __init__(self, lines: Callable[[Tenant, Any], Iterable[str]], query: type[Input], name: str) -> None:
        self._lines = lines
        self._query = query
        self._name = name

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send."""
        send_csv(resp, self._lines(tenant_of(req), query_of(req, self._query)), self._name)


def send_csv(resp: falcon.Response, pieces: Iterable[str], name: str) -> None:
    """Send pieces of a CSV file as they come."""
    resp.content_type = f"{CSV}; charset=utf-8"
    resp.set_header("Content-Disposition", f'attachment; filename="{name}.csv"')
    resp.stream = (piece.encode() for piece in pieces)
