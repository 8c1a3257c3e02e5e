"""Lists and items of everything that is kept: the same five operations for each noun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from crm_api.domain.inputs.base import MAX_ID
from crm_api.domain.problems import NotFoundError
from crm_api.resources.authentication import PEOPLE, tenant_of
from crm_api.resources.rendering import body_of, query_of, send

if TYPE_CHECKING:
    import falcon

    from crm_api.domain.inputs.base import Input, PageQuery
    from crm_api.services.context import Tenant
    from crm_api.services.kept import Document


class KeptService(Protocol):
    """What a service of one noun offers."""

    noun: str

    def listed(self, tenant: Tenant, filters: dict[str, Any], after: int, limit: int) -> list[Document]:
        """List."""

    def got(self, tenant: Tenant, key: Any) -> Document:
        """Read."""

    def create(self, tenant: Tenant, new: Any) -> Document:
        """Make."""

    def change(self, tenant: Tenant, key: Any, values: dict[str, Any]) -> Document:
        """Change."""

    def remove(self, tenant: Tenant, key: Any) -> None:
        """Remove."""


def page(items: list[Document], limit: int) -> dict[str, Any]:
    """Return a page: its items, and the `after` of the next page (None on the last)."""
    return {"items": items, "next": items[-1]["id"] if len(items) == limit else None}


class Collection:
    """`GET` a page, `POST` a new one."""

    allowed = PEOPLE

    def __init__(self, service: KeptService, new: type[Input], query: type[PageQuery], key: str = "id") -> None:
        self._service = service
        self._new = new
        self._query = query
        self._key = key

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        query = query_of(req, self._query)
        filters = query.model_dump(exclude={"after", "limit"}, exclude_none=True)
        send(resp, page(self._service.listed(tenant_of(req), filters, query.after, query.limit), query.limit))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make."""
        document = self._service.create(tenant_of(req), body_of(req, self._new))
        resp.location = f"{req.path}/{document[self._key]}"
        send(resp, document, 201)


class Item:
    """`GET`, `PATCH` (fields left out stay as they are), `DELETE`."""

    allowed = PEOPLE

    def __init__(self, service: KeptService, change: type[Input]) -> None:
        self._service = service
        self._change = change

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Read."""
        send(resp, self._service.got(tenant_of(req), key))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Change."""
        body = body_of(req, self._change)
        # Only the fields sent; inside a list (a door, a stage) every field, with its default.
        values = {name: value for name, value in body.model_dump().items() if name in body.model_fields_set}
        send(resp, self._service.change(tenant_of(req), key, values))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, key: int | str) -> None:
        """Remove."""
        self._service.remove(tenant_of(req), key)
        resp.status = 204


class RingPlanItem(Item):
    """An item whose id comes as text from the router."""

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
        if not (text.isascii() and text.isdigit() and int(text) <= MAX_ID):
            raise NotFoundError.of(self._service.noun, key)
        return int(text)
