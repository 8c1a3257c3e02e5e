"""Messages about emergency calls and pools: written with what they tell of, sent by `python -m crm_api.emergency`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from crm_api.tables.emergency import EmergencyCentre, EmergencyNotice, EmergencyRule

if TYPE_CHECKING:
    from crm_api.services.context import Context

_PANEL: Final = """
SELECT v.address, v.entrance, v.latitude, v.longitude, c.name, p.name, pp.entrance_id, p.id
FROM kamailio_emergency_panels v
LEFT JOIN cities c ON c.id = v.city_id
LEFT JOIN panels p ON p.id = v.panel_id
LEFT JOIN panel_places pp ON pp.id = (SELECT min(id) FROM panel_places WHERE panel_id = p.id)
WHERE v.account = ?
"""
# Never one that opens once: somebody else was promised it. What a panel that keeps codes has already comes before what
# it is to get, a week's code before one made for an occasion, the one that is valid longest before others.
_CODE: Final = """
SELECT c.code_encrypted FROM access_codes c
LEFT JOIN panel_codes k ON k.access_code_id = c.id AND k.panel_id = ?
WHERE c.entrance_id = ? AND c.apartment_id IS NULL AND c.single_use = ? AND c.ended_at_ms IS NULL
    AND c.valid_from_ms <= ? AND (c.valid_until_ms IS NULL OR c.valid_until_ms > ?)
ORDER BY CASE WHEN k.wanted = 'present' AND k.state = 'done' THEN 0 ELSE 1 END,
    CASE WHEN c.slot IS NULL THEN 1 ELSE 0 END,
    CASE WHEN c.valid_until_ms IS NULL THEN 0 ELSE 1 END, c.valid_until_ms DESC, c.id DESC
LIMIT 1
"""


class Notices:
    """Writes notices, inside the caller's transaction; each goes to one destination."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def emergency_call(self, call: dict[str, Any]) -> None:
        """Tell centre and company that a call begins: who, where, with which number."""
        body = self._call_body(call)
        centre = None
        if call.get("city_id") is not None:
            centre = EmergencyCentre.get_or_none(EmergencyCentre.city_id == call["city_id"])
        if centre is not None:
            self._to(centre, call, {**body, "entrance_code": self._entrance_code(call)}, sms=centre.sms_number)
        rule = None
        if call.get("company_id") is not None:
            rule = EmergencyRule.get_or_none(EmergencyRule.company_id == call["company_id"])
        if rule is not None:
            self._to(rule, call, body)

    def pool(self, kind: str, city_id: int, day: int, body: dict[str, Any]) -> None:
        """Tell, once a day, that a city's pool is running out."""
        centre = EmergencyCentre.get_or_none(EmergencyCentre.city_id == city_id)
        if centre is not None:
            self._to(centre, {"call_id": f"{kind} {city_id} {day}", "city_id": city_id}, {"event": kind, **body}, kind)

    def _to(
        self, row: Any, call: dict[str, Any], body: dict[str, Any], kind: str = "emergency_call", sms: str | None = None
    ) -> None:
        now_ms = self._context.now_ms()
        for channel, destination in (("webhook", row.webhook_url), ("email", row.email), ("sms", sms)):
            if destination is None:
                continue
            EmergencyNotice.insert(
                company_id=call.get("company_id"),
                city_id=call.get("city_id"),
                call_id=call["call_id"],
                kind=kind,
                channel=channel,
                destination=destination,
                body=json.dumps(body, ensure_ascii=False),
                made_at_ms=now_ms,
                due_at_ms=0,  # at once, also for a process whose clock is behind
            ).on_conflict_ignore().execute()

    def _call_body(self, call: dict[str, Any]) -> dict[str, Any]:
        panel = call.get("panel")
        row = None if panel is None else self._context.database.row(_PANEL, (panel,))
        address, entrance, latitude, longitude, city, name = (row or ("", 0, "", "", None, None))[:6]
        degrees = [int(part) / 1_000_000 for part in (latitude, longitude)] if latitude and longitude else None
        return {
            "event": "emergency_call",
            "call_id": call["call_id"],
            "at_ms": call["started_at_ms"],
            "number": call.get("number"),
            "dialled": call.get("dialled"),
            "panel": panel,
            "panel_name": name,
            "city": city,
            "address": address,
            "entrance": entrance or None,
            "latitude": degrees[0] if degrees else None,
            "longitude": degrees[1] if degrees else None,
            "map": None
            if degrees is None
            else f"https://www.openstreetmap.org/?mlat={degrees[0]}&mlon={degrees[1]}#map=18/{degrees[0]}/{degrees[1]}",
        }

    def _entrance_code(self, call: dict[str, Any]) -> str | None:
        """Return a code that opens the entrance, for whoever comes; None where there is none."""
        panel = call.get("panel")
        row = None if panel is None else self._context.database.row(_PANEL, (panel,))
        if row is None or row[6] is None:
            return None
        now_ms = self._context.now_ms()
        kept = self._context.database.row(_CODE, (row[7], row[6], False, now_ms, now_ms))
        return None if kept is None else self._context.encryption.decrypted(kept[0])
