"""What happened: call records with their branches, and openings of doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from crm_api.domain.problems import NotFoundError
from crm_api.services.context import visible
from crm_api.services.kept import Listed
from crm_api.tables.models import AccessRecord, CallBranch, CallRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crm_api.services.context import Tenant
    from crm_api.services.kept import Document


class CallRecords(Listed[CallRecord]):
    """Calls; in lists without their branches."""

    noun = "call"
    model = CallRecord
    filters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "from_ms": lambda moment: CallRecord.started_at_ms >= moment,
        "to_ms": lambda moment: CallRecord.started_at_ms < moment,
    }

    def row(self, tenant: Tenant, key: Any) -> CallRecord:
        """Return a call by its Call-ID."""
        row: CallRecord | None = visible(tenant, CallRecord).where(CallRecord.call_id == key).first()
        if row is None:
            raise NotFoundError.of(self.noun, key)
        return row

    def got(self, tenant: Tenant, key: Any) -> Document:
        """Return one call with every branch and every opening, or raise `NotFoundError`."""
        row = self.row(tenant, key)
        branches = CallBranch.select().where(CallBranch.call_id == key)
        doors = visible(tenant, AccessRecord).where(AccessRecord.call_id == key).order_by(AccessRecord.id)
        return {
            **row.__data__,
            "branches": [
                {name: value for name, value in branch.__data__.items() if name != "call_id"}
                for branch in branches.order_by(CallBranch.stage, CallBranch.account, CallBranch.branch)
            ],
            "access_records": [dict(door.__data__) for door in doors],
        }


class AccessRecords(Listed[AccessRecord]):
    """Openings of doors, and refusals."""

    noun = "access record"
    model = AccessRecord
    filters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "from_ms": lambda moment: AccessRecord.at_ms >= moment,
        "to_ms": lambda moment: AccessRecord.at_ms < moment,
    }
