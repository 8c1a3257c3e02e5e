"""Old calls leave the records, company by company, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crm_api.services.context import Context

BATCH: Final = 500
DAY_MS: Final = 24 * 3_600_000
_COMPANIES: Final = "SELECT id, calls_kept_days FROM companies WHERE calls_kept_days IS NOT NULL ORDER BY id"
_OLD: Final = (
    "SELECT call_id FROM call_records WHERE company_id = ? AND started_at_ms < ? ORDER BY started_at_ms LIMIT ?"
)


class CallRetention:
    """Removes calls, with their branches and costs, that their company no longer wants kept."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def prune(self) -> int:
        """Remove what is old; return how many calls. Each batch is a transaction: nobody waits for long."""
        database = self._context.database
        removed = 0
        for company_id, days in database.rows(_COMPANIES):
            before_ms = self._context.now_ms() - days * DAY_MS
            while rows := database.rows(_OLD, (company_id, before_ms, BATCH)):
                with database.transaction():
                    database.many("DELETE FROM call_records WHERE call_id = ?", rows)
                removed += len(rows)
        return removed
