"""What happened: call records with their branches, and openings of doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.domain.problems import NotFoundError
from crm_api.services.context import visible
from crm_api.tables.models import AccessRecord, CallBranch, CallRecord

if TYPE_CHECKING:
    from crm_api.services.context import Tenant
    from crm_api.services.kept import Document


class History:
    """Reads records, newest first."""

    def calls(self, tenant: Tenant, filters: dict[str, Any], before: int, limit: int) -> list[Document]:
        """Return call records without their branches; `before` 0 starts at the newest."""
        return self._newest(CallRecord, tenant, filters, before, limit)

    def access_records(self, tenant: Tenant, filters: dict[str, Any], before: int, limit: int) -> list[Document]:
        """Return openings and refusals."""
        return self._newest(AccessRecord, tenant, filters, before, limit)

    def call(self, tenant: Tenant, call_id: str) -> Document:
        """Return one call with every branch and every opening, or raise `NotFoundError`."""
        row: CallRecord | None = visible(tenant, CallRecord).where(CallRecord.call_id == call_id).first()
        if row is None:
            raise NotFoundError.of("call", call_id)
        branches = CallBranch.select().where(CallBranch.call_id == call_id)
        doors = AccessRecord.select().where(AccessRecord.call_id == call_id).order_by(AccessRecord.id)
        return {
            **row.__data__,
            "branches": [
                {name: value for name, value in branch.__data__.items() if name != "call_id"}
                for branch in branches.order_by(CallBranch.stage, CallBranch.account, CallBranch.branch)
            ],
            "access_records": [dict(door.__data__) for door in doors],
        }

    @staticmethod
    def _newest(model: Any, tenant: Tenant, filters: dict[str, Any], before: int, limit: int) -> list[Document]:
        query = visible(tenant, model)
        if before:
            query = query.where(model.id < before)
        for name, value in filters.items():
            query = query.where(getattr(model, {"apartment": "apartment_id"}.get(name, name)) == value)
        return [dict(row.__data__) for row in query.order_by(model.id.desc()).limit(limit)]
