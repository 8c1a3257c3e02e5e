"""Rows that are listed, read, made, changed and removed: what all such services have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from crm_api.domain.problems import ForbiddenError, InvalidFieldsError
from crm_api.services.changes import Changes
from crm_api.services.context import Row, Tenant, find, visible
from crm_api.tables.models import Company

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.services.context import Context

Document = dict[str, Any]


class Kept(Generic[Row]):
    """Base of the services of one noun."""

    noun: str
    model: type[Row]

    def __init__(self, context: Context) -> None:
        self.context = context
        self.database = context.database
        self.changes = Changes(context)

    def listed(self, tenant: Tenant, filters: dict[str, Any], after: int, limit: int) -> list[Document]:
        """Return at most `limit` documents with ids above `after`."""
        fields: Any = self.model
        query = visible(tenant, self.model).where(fields.id > after)
        for name, value in filters.items():
            query = query.where(getattr(fields, name) == value)
        return self.documents(list(query.order_by(fields.id).limit(limit)))

    def got(self, tenant: Tenant, key: Any) -> Document:
        """Return one document, or raise `NotFoundError`."""
        return self.documents([self.row(tenant, key)])[0]

    def row(self, tenant: Tenant, key: Any) -> Row:
        """Return one row, or raise `NotFoundError`."""
        return find(tenant, self.model, self.noun, key)

    def documents(self, rows: Sequence[Row]) -> list[Document]:
        """Return what the API shows of the rows."""
        return [dict(row.__data__) for row in rows]

    def update(self, row: Row, **values: Any) -> None:
        """Write the values given."""
        fields: Any = self.model
        if values:
            identity: Any = row
            self.model.update(**values).where(fields.id == identity.id).execute()


def company_for(tenant: Tenant, company_id: int | None) -> int:
    """Return the company that a new row belongs to: the tenant's own, or the one that the platform names."""
    chosen = tenant.only_company if company_id is None else company_id
    if chosen is None:
        raise InvalidFieldsError.one("company_id", None, "name the company")
    find(tenant, Company, "company", chosen)
    return chosen


def platform_only(tenant: Tenant) -> None:
    """Refuse a company's operator."""
    if not tenant.is_platform:
        raise ForbiddenError("Only a platform token may do this; this one is limited to a company")
