"""What every service stands on: the database, the clock, and whose rows may be seen."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from crm_api.adapters.password_hashing import PasswordHashing
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
    passwords: PasswordHashing = field(default_factory=PasswordHashing)
    trusted_proxies: frozenset[str] = frozenset()
    """Addresses of our proxies: they are believed when they say whom they ask for."""


@dataclass(frozen=True)
class Tenant:
    """Who asks, and whose rows may be seen: those of some companies, or (`companies` None) everybody's."""

    companies: frozenset[int] | None
    name: str = ""
    """Who asks, as records and the audit log name them."""
    principal_id: int | None = None
    """The row of `principals`; None for a task of the platform itself."""

    @classmethod
    def of(cls, *company_ids: int) -> Tenant:
        """Return whoever may see the rows of these companies and nothing else."""
        return cls(frozenset(company_ids))

    @property
    def is_platform(self) -> bool:
        """Say whether the platform's own people ask."""
        return self.companies is None

    @property
    def only_company(self) -> int | None:
        """Return the company that a new row belongs to when the request names none; None when it has to name one."""
        return next(iter(self.companies)) if self.companies is not None and len(self.companies) == 1 else None

    def sees(self, company_id: int | None) -> bool:
        """Say whether rows of this company (None: of no company) may be seen."""
        return self.companies is None or company_id in self.companies


def visible(tenant: Tenant, model: type[Row]) -> Any:
    """Return a query for the rows of this table that the tenant may see: the only door to another's rows."""
    query = model.select()
    return query if tenant.companies is None else query.where(model.of_companies(tenant.companies))


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
