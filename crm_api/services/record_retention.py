"""Old calls and openings leave the records, company by company, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from crm_api.domain.phone_limits import month_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.services.context import Context

BATCH: Final = 500
DAY_MS: Final = 24 * 3_600_000


class _Kept(NamedTuple):
    """One kind of record: how long companies keep it, which are old (id and moment), and how one is removed."""

    days: str
    old: str
    remove: str


_CALLS: Final = _Kept(
    "SELECT id, calls_kept_days FROM companies WHERE calls_kept_days IS NOT NULL ORDER BY id",
    # Phones go with their calls, and are what the month's minutes and the statement are counted from.
    """SELECT call_id, started_at_ms FROM call_records c
    WHERE company_id = ? AND started_at_ms BETWEEN ? AND ? AND NOT EXISTS (
        SELECT 1 FROM phone_legs p WHERE p.call_id = c.call_id AND p.ended_at_ms >= ?)
    ORDER BY started_at_ms LIMIT ?""",
    "DELETE FROM call_records WHERE call_id = ?",
)
_OPENINGS: Final = _Kept(
    "SELECT id, access_records_kept_days FROM companies WHERE access_records_kept_days IS NOT NULL ORDER BY id",
    "SELECT id, at_ms FROM access_records WHERE company_id = ? AND at_ms BETWEEN ? AND ? ORDER BY at_ms, id LIMIT ?",
    "DELETE FROM access_records WHERE id = ?",
)


class RecordRetention:
    """Removes calls, with their branches and costs, and access records that their company no longer wants kept.

    A call with a phone of this month or the last stays, however short a company keeps its calls.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def prune(self, beat: Callable[[], None] = lambda: None) -> int:
        """Remove what is old; return how many records. Each batch is a transaction: nobody waits for long.

        `beat` is called after each batch.
        """
        since_ms = counted_since_ms(self._context.now_ms())
        return self._pruned(_CALLS, beat, since_ms) + self._pruned(_OPENINGS, beat)

    def _pruned(self, kept: _Kept, beat: Callable[[], None], *more: int) -> int:
        database = self._context.database
        removed = 0
        for company_id, days in database.rows(kept.days):
            before_ms = self._context.now_ms() - days * DAY_MS
            since_ms = 0
            while rows := database.rows(kept.old, (company_id, since_ms, before_ms - 1, *more, BATCH)):
                with database.transaction():
                    database.many(kept.remove, [row[:1] for row in rows])
                since_ms = rows[-1][1]  # what stays before it is not looked at again and again
                removed += len(rows)
                beat()
        return removed


def counted_since_ms(now_ms: int) -> int:
    """Return since when phones are counted: the beginning of last month (UTC), wherever on Earth it is last month."""
    this_month_ms, _ = month_of(now_ms - DAY_MS)
    return month_of(this_month_ms - 1)[0]
