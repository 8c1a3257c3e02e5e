"""Companies as billing has them: synchronised before codes are renewed; billing away leaves the last state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.adapters.billing import BillingAwayError
from crm_api.services.context import Tenant
from crm_api.services.places import Companies
from crm_api.tables.models import Company

if TYPE_CHECKING:
    from crm_api.adapters.billing import BilledCompany, BillingSource
    from crm_api.services.context import Context

FRESH_MS: Final = 10 * 60_000
"""Companies whose codes are due at one time share one answer of billing."""
_NAME: Final = "billing"
_TRIED: Final = """
INSERT INTO billing_states (name, tried_at_ms, ok_at_ms, error) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET tried_at_ms = excluded.tried_at_ms, error = excluded.error,
    ok_at_ms = coalesce(excluded.ok_at_ms, billing_states.ok_at_ms)
"""


class Billing:
    """Takes names, contracts and who is a customer from billing."""

    def __init__(self, context: Context, source: BillingSource | None) -> None:
        self._context = context
        self._source = source
        self._companies = Companies(context)

    def synchronise(self, fresh_ms: int = 0) -> dict[str, Any]:
        """Ask billing and write what has changed; return what to say about it, `ok` first.

        Args:
            fresh_ms: an answer not older than this is good enough.
        """
        if self._source is None:
            return {"ok": True, "source": "none"}
        now_ms = self._context.now_ms()
        state = self._context.database.row("SELECT ok_at_ms FROM billing_states WHERE name = ?", (_NAME,))
        known_at_ms = None if state is None else state[0]
        if known_at_ms is not None and 0 <= now_ms - known_at_ms < fresh_ms:
            return {"ok": True, "state_of_ms": known_at_ms}
        try:
            billed = self._source.companies()
        except BillingAwayError as error:
            self._keep(now_ms, None, str(error))
            return {"ok": False, "reason": str(error), "state_of_ms": known_at_ms}
        told = self._write(billed)
        self._keep(now_ms, now_ms, None)
        return {"ok": True, "state_of_ms": now_ms, **told}

    def _write(self, billed: list[BilledCompany]) -> dict[str, Any]:
        known: dict[str, Any] = {
            str(row.billing_id): row for row in Company.select().where(Company.billing_id.is_null(False))
        }
        platform = Tenant(None, "billing")
        changed = 0
        for company in billed:
            row = known.get(company.billing_id)
            if row is None:
                continue
            wanted = {"name": company.name, "active": company.active, "contract": company.contract}
            values = {name: value for name, value in wanted.items() if getattr(row, name) != value}
            if values:
                self._companies.change(platform, row.id, values)
                changed += 1
        ids = {company.billing_id for company in billed}
        return {
            "changed": changed,
            "unknown_here": sorted(ids - known.keys())[:20],
            "unknown_to_billing": sorted(known.keys() - ids)[:20],
        }

    def _keep(self, tried_at_ms: int, ok_at_ms: int | None, error: str | None) -> None:
        with self._context.database.transaction():
            self._context.database.rows(_TRIED, (_NAME, tried_at_ms, ok_at_ms, error))
