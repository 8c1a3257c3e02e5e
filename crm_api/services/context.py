"""What every service stands on: the database, the clock, and whose rows may be seen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from crm_api.domain.problems import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.adapters.encryption import Encryption
    from crm_api.tables.database import CrmDatabase
    from crm_api.tables.models import Table

Row = TypeVar("Row", bound="Table")


def wall_clock_ms() -> int:
    """Return the time of day in epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Context:
    """The collaborators of all services."""

    database: CrmDatabase
    realm: str
    encryption: Encryption
    now_ms: Callable[[], int] = wall_clock_ms


@dataclass(frozen=True)
class Tenant:
    """Whose rows a request may see: one company's, or (`company_id` None) everybody's."""

    company_id: int | None
    name: str = ""

    @property
    def is_platform(self) -> bool:
        """Say whether the platform's own people ask."""
        return self.company_id is None


def visible(tenant: Tenant, model: type[Row]) -> Any:
    """Return a query for the rows of this table that the tenant may see: the only door to another's rows."""
    query = model.select()
    if tenant.company_id is None:
        return query
    fields: Any = model
    column = fields.id if model.__name__ == "Company" else fields.company_id
    return query.where(column == tenant.company_id)


def find(tenant: Tenant, model: type[Row], noun: str, key: int) -> Row:
    """Return one row by id.

    Raises:
        NotFoundError: no such row, or another company's.
    """
    fields: Any = model
    row: Row | None = visible(tenant, model).where(fields.id == key).first()
    if row is None:
        raise NotFoundError.of(noun, key)
    return row
