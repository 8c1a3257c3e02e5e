"""Lists and items of everything that is kept: the same five operations for each noun, declared in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from crm_api.domain.inputs.base import MAX_ID
from crm_api.domain.problems import NotFoundError
from crm_api.resources import kept_descriptions
from crm_api.resources.authentication import tenant_of
from crm_api.resources.declaration import ID, Answer, Endpoint, Key, Operation, id_key
from crm_api.resources.preconditions import expected_of, expected_or_anything, repeatable_of
from crm_api.resources.rendering import body_of, query_of, send
from crm_api.services.kept import etag_of
from crm_api.services.paging import Asked

if TYPE_CHECKING:
    import falcon

    from crm_api.domain.access import Role
    from crm_api.domain.inputs.base import Input, PageQuery
    from crm_api.domain.outputs.base import Output
    from crm_api.services.context import Tenant
    from crm_api.services.idempotency import Repeatable
    from crm_api.services.kept import Document, Expected
    from crm_api.services.paging import Page


class ListedService(Protocol):
    """What a service that shows one noun offers."""

    noun: str

    def listed(self, tenant: Tenant, asked: Asked) -> Page:
        """List."""

    def got(self, tenant: Tenant, key: Any) -> Document:
        """Read."""


class KeptService(ListedService, Protocol):
    """What a service that keeps one noun offers besides."""

    def made(self, tenant: Tenant, new: Any, wish: Repeatable | None = None) -> Document:
        """Make."""

    def changed(self, tenant: Tenant, key: Any, values: dict[str, Any], expected: Expected) -> Document:
        """Change."""

    def removed(self, tenant: Tenant, key: Any, expected: Expected) -> None:
        """Remove."""


Shown = TypeVar("Shown", bound=ListedService)


def asked_of(req: falcon.Request, model: type[PageQuery]) -> Asked:
    """Return what the query asks a list for."""
    query = query_of(req, model)
    filters = query.model_dump(exclude={"cursor", "limit", "sort"}, exclude_none=True)
    return Asked(filters, query.sort, query.limit, query.cursor)


def changes_in(body: Input) -> dict[str, Any]:
    """Return the fields that were sent; inside a list (a door, a stage) every field, with its default."""
    return {name: value for name, value in body.model_dump().items() if name in body.model_fields_set}


class Collection:
    """`GET` a page, `POST` a new one."""

    def __init__(self, service: Any, query: type[PageQuery], new: type[Input] | None, key: str) -> None:
        self._service = service
        self._query = query
        self._new = new
        self._key = key

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        page: Page = self._service.listed(tenant_of(req), asked_of(req, self._query))
        send(resp, {"items": page.items, "next": page.next})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make."""
        assert self._new is not None  # noqa: S101 - without it POST is not declared
        new = body_of(req, self._new)
        document = self._service.made(tenant_of(req), new, repeatable_of(req, new))
        resp.location = f"{req.path}/{document[self._key]}"
        send(resp, document, 201, etag_of(document))


class Item:
    """`GET`, `PATCH` (fields left out stay as they are), `DELETE`."""

    def __init__(self, service: Any, change: type[Input] | None) -> None:
        self._service = service
        self._change = change

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Read."""
        document = self._service.got(tenant_of(req), key)
        send(resp, document, 200, etag_of(document))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Change."""
        assert self._change is not None  # noqa: S101 - without it PATCH is not declared
        expected = expected_of(req)
        document = self._service.changed(tenant_of(req), key, changes_in(body_of(req, self._change)), expected)
        send(resp, document, 200, etag_of(document))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Remove."""
        self._service.removed(tenant_of(req), key, expected_or_anything(req))
        resp.status = 204


class NumberedItem(Item):
    """An item whose id comes as text from the router, because another route has text in this place."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Read."""
        super().on_get(req, resp, self._number(key))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Change."""
        super().on_patch(req, resp, self._number(key))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Remove."""
        super().on_delete(req, resp, self._number(key))

    def _number(self, key: int | str) -> int:
        text = str(key)
        if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) <= MAX_ID):
            raise NotFoundError.of(self._service.noun, key)
        return int(text)


def listed(
    path: str,
    *,
    tag: str,
    plural: str,
    service: ListedService,
    query: type[PageQuery],
    document: type[Output],
    readers: frozenset[Role],
) -> Endpoint:
    """Declare a list that is only read: `GET path`."""
    return Endpoint(path, tag, Collection(service, query, None, "id"), (_listing(plural, query, document, readers),))


def kept(
    path: str,
    *,
    tag: str,
    plural: str,
    service: KeptService,
    query: type[PageQuery],
    document: type[Output],
    new: type[Input] | None = None,
    change: type[Input] | None = None,
    made: type[Output] | None = None,
    removal: str | None,
    key: str = "id",
    named_by: Key | None = None,
    key_is_text: bool = False,
    readers: frozenset[Role],
    writers: frozenset[Role],
) -> tuple[Endpoint, Endpoint]:
    """Declare the list and the item of a noun.

    Args:
        path: of the list, such as `/v1/houses`.
        tag: heading in the OpenAPI page.
        plural: what is listed, such as `houses`; the service's `noun` is the singular.
        service: keeps the noun.
        query: filters and sorting of the list.
        document: what is shown of a row.
        new: body of POST; None: none can be made.
        change: body of PATCH; None: none can be changed.
        made: what POST answers, when it is more than `document`.
        removal: what becomes of a removed row and of what refers to it, for the description of DELETE; None: there is
            no DELETE.
        key: field of the document that stands in the item's path.
        named_by: description of that key when it is a text (an account's name) and no id.
        key_is_text: the id is text to the router, because another route has text in its place.
        readers: roles that may read (`crm_api.domain.access`).
        writers: roles that may make, change and remove.
    """
    noun = service.noun
    shown = Answer(200, f"The {noun}", document, headers=("ETag",))
    in_list = [_listing(plural, query, document, readers)]
    if new is not None:
        answer = Answer(201, f"The {noun} that was made", made or document, headers=("ETag", "Location"))
        in_list.append(
            Operation(
                "POST",
                f"Make {_a(noun)}",
                writers,
                (answer,),
                kept_descriptions.of_making(noun, new),
                body=new,
                headers=("Idempotency-Key",),
                problems=frozenset({"conflict", "not-found"}),
            )
        )
    reading = kept_descriptions.of_reading(document, may_change=change is not None)
    on_item = [Operation("GET", f"Read {_a(noun)}", readers, (shown,), reading)]
    if change is not None:
        on_item.append(
            Operation(
                "PATCH",
                f"Change {_a(noun)}",
                writers,
                (shown,),
                kept_descriptions.of_changing(change),
                body=change,
                headers=("If-Match",),
                problems=frozenset({"conflict"}),
            )
        )
    if removal is not None:
        on_item.append(
            Operation(
                "DELETE",
                f"Remove {_a(noun)}",
                writers,
                (Answer(204, f"The {noun} is gone"),),
                kept_descriptions.of_removing(removal),
                headers=("If-Match",),
                problems=frozenset({"conflict"}),
            )
        )
    place = "{key}" if named_by is not None or key_is_text else ID
    keys = id_key(noun) if named_by is None else {"key": named_by}
    item = (NumberedItem if key_is_text else Item)(service, change)
    return (
        Endpoint(path, tag, Collection(service, query, new, key), tuple(in_list)),
        Endpoint(f"{path}/{place}", tag, item, tuple(on_item), keys),
    )


def _listing(plural: str, query: type[PageQuery], document: type[Output], readers: frozenset[Role]) -> Operation:
    answer = Answer(200, f"A page of {plural}", document, is_page=True)
    return Operation("GET", f"List {plural}", readers, (answer,), kept_descriptions.of_list(query), query=query)


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
