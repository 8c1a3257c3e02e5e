"""Access codes that ended as long ago as their notices are kept leave, and with them what panels were told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.services.code_notices import KEPT_MS

if TYPE_CHECKING:
    from crm_api.services.context import Context

BATCH: Final = 50
"""Notices that are left go with their code, in one transaction: one for every app of its entrance."""

# Not while a panel may still open to it (it is offline), nor while the one that it has replaced has not ended.
_OLD: Final = """
SELECT c.id FROM access_codes c WHERE c.ended_at_ms < ?
AND NOT EXISTS (
    SELECT 1 FROM panel_codes k WHERE k.access_code_id = c.id AND NOT (k.wanted = 'absent' AND k.state = 'done'))
AND NOT EXISTS (SELECT 1 FROM access_codes o WHERE o.superseded_by = c.id AND o.ended_at_ms IS NULL)
ORDER BY c.ended_at_ms LIMIT ?
"""
_TOLD: Final = "DELETE FROM panel_codes WHERE access_code_id = ? AND wanted = 'absent' AND state = 'done'"
_REMOVE: Final = "DELETE FROM access_codes WHERE id = ?"


class CodeRetention:
    """Removes old codes: a city makes 22,000 a week."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def prune(self) -> int:
        """Remove what is old; return how many codes. Each batch is a transaction: nobody waits for long."""
        database = self._context.database
        before_ms, removed = self._context.now_ms() - KEPT_MS, 0
        while rows := database.rows(_OLD, (before_ms, BATCH)):
            with database.transaction():
                database.many(_TOLD, rows)
                database.many(_REMOVE, rows)
            removed += len(rows)
        return removed
