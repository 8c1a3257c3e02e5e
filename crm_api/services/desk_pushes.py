"""The desks on duty are told of an emergency call at once: a push to each of their devices that takes such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.adapters.push_services.push import NO_CALL_ONLY, Push
from crm_api.domain.push_texts import alert_of
from crm_api.services.message_pushes import MessagePush
from crm_api.tables import emergency_facts, push_facts
from crm_api.tables.database import DatabaseErrors

if TYPE_CHECKING:
    from crm_api.services.context import Context

FRESH_MS: Final = 15 * 60_000
"""Nobody is told of a call that began longer ago: the push process was away."""
LASTS_MS: Final = 10 * 60_000

_ANY: Final = """
SELECT 1 FROM emergency_calls
WHERE desks_told_at_ms IS NULL AND direction = 'out' AND test = {false} AND started_at_ms > ? LIMIT 1
"""
_TAKE: Final = """
UPDATE emergency_calls SET desks_told_at_ms = ? WHERE desks_told_at_ms IS NULL AND id IN (
    SELECT id FROM emergency_calls
    WHERE desks_told_at_ms IS NULL AND direction = 'out' AND test = {false} AND started_at_ms > ?
    ORDER BY started_at_ms LIMIT 20)
RETURNING call_id, panel, company_id, number, started_at_ms
"""
_PLACE: Final = "SELECT address, entrance FROM kamailio_emergency_panels WHERE account = ?"


class DeskPushes:
    """Takes the calls that no desk has been told of, each once, whichever process asks first."""

    def __init__(self, context: Context) -> None:
        self._context = context
        false = "FALSE" if context.database.dialect == "postgresql" else "0"
        self._any, self._take = _ANY.replace("{false}", false), _TAKE.replace("{false}", false)

    def take(self) -> list[MessagePush]:
        """Return what is to be pushed now."""
        database, now_ms = self._context.database, self._context.now_ms()
        try:
            if database.row(self._any, (now_ms - FRESH_MS,)) is None:
                return []
            with database.transaction():
                calls = database.rows(self._take, (now_ms, now_ms - FRESH_MS))
            desks = emergency_facts.desks(database)
            return [push for call in calls for push in self._pushes(call, desks, now_ms)]
        except DatabaseErrors:
            database.forget_connection()
            raise

    def _pushes(self, call: Any, desks: dict[str, list[str]], now_ms: int) -> list[MessagePush]:
        call_id, panel, company_id, number, started_at_ms = call
        known = push_facts.devices(self._context.database, panel or "", desks.get(str(company_id), []))
        address, entrance = self._context.database.row(_PLACE, (panel,)) or ("", 0)
        data = {
            "type": "emergency_call",
            "call_id": call_id,
            "panel": known.panel_name,
            "house": address,
            "entrance": str(entrance or ""),
            "number": number or "",
            "at_ms": str(started_at_ms),
        }
        return [
            MessagePush(
                call_id,
                device,
                Push({**data, "account": device.account}, now_ms + LASTS_MS, alert_of(data, known.language)),
            )
            for device in known.devices
            if device.platform != NO_CALL_ONLY
        ]
