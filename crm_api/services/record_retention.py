"""Old calls and openings leave the records, company by company, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from crm_api.services.context import Context

BATCH: Final = 500
DAY_MS: Final = 24 * 3_600_000


class _Kept(NamedTuple):
    """One kind of record: how long companies keep it, which are old, and how one is removed."""

    days: str
    old: str
    remove: str


_CALLS: Final = _Kept(
    "SELECT id, calls_kept_days FROM companies WHERE calls_kept_days IS NOT NULL ORDER BY id",
    "SELECT call_id FROM call_records WHERE company_id = ? AND started_at_ms < ? ORDER BY started_at_ms LIMIT ?",
    "DELETE FROM call_records WHERE call_id = ?",
)
_OPENINGS: Final = _Kept(
    "SELECT id, access_records_kept_days FROM companies WHERE access_records_kept_days IS NOT NULL ORDER BY id",
    "SELECT id FROM access_records WHERE company_id = ? AND at_ms < ? ORDER BY at_ms, id LIMIT ?",
    "DELETE FROM access_records WHERE id = ?",
)


class RecordRetention:
    """Removes calls, with their branches and costs, and access records that their company no longer wants kept."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def prune(self) -> int:
        """Remove what is old; return how many records. Each batch is a transaction: nobody waits for long."""
        return sum(self._pruned(kept) for kept in (_CALLS, _OPENINGS))

    def _pruned(self, kept: _Kept) -> int:
        database = self._context.database
        removed = 0
        for company_id, days in database.rows(kept.days):
            before_ms = self._context.now_ms() - days * DAY_MS
            while rows := database.rows(kept.old, (company_id, before_ms, BATCH)):
                with database.transaction():
                    database.many(kept.remove, rows)
                removed += len(rows)
        return removed
