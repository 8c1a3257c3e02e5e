"""Who may say where a device is: whatever is asked there opens a door (docs/decisions/0024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from crm_api.domain.problems import ConflictError, FieldProblem
from crm_api.tables.device_addresses import belongs_to_others

if TYPE_CHECKING:
    from crm_api.services.context import Tenant
    from crm_api.tables.database import CrmDatabase

_REMEDY = "is taken: give the device an address of its own; one that companies share is set by the platform's people"
_log = structlog.get_logger("crm_api.devices")


def check_address(database: CrmDatabase, tenant: Tenant, company_id: int, address: str | None) -> None:
    """Look whether this address may be that of a device of the company; the platform's own people give any.

    Raises:
        ConflictError: a device of a company that the tenant does not see has it. Of that nothing is told.
    """
    if address is None or tenant.companies is None:
        return
    if belongs_to_others(database, address, tenant.companies | {company_id}):
        _log.warning("address of another company's device refused", by=tenant.name, company=company_id, address=address)
        raise ConflictError(f"address: {_REMEDY}", (FieldProblem("address", address, _REMEDY),))
