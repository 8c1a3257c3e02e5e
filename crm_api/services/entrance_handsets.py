"""The handsets of an entrance by their latest verdicts: one bad handset is told from a bad line or panel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.handset_verdict import entrance_fault
from crm_api.services.context import Tenant, find
from crm_api.tables.models import Entrance

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.services.kept import Document

_LATEST: Final = """
SELECT a.id, a.number, c.verdict, c.reasons, c.ended_at_ms FROM apartments a
LEFT JOIN probe_calls c ON c.id = (
    SELECT max(l.id) FROM probe_calls l WHERE l.apartment_id = a.id AND l.verdict IS NOT NULL)
WHERE a.entrance_id = ? ORDER BY a.number
"""


class EntranceHandsets:
    """What probes have said about an entrance."""

    def __init__(self, context: Context) -> None:
        self._database = context.database

    def view(self, tenant: Tenant, key: int) -> Document:
        """Return each apartment's latest verdict, and what they have in common."""
        find(tenant, Entrance, "entrance", key)
        handsets: list[dict[str, Any]] = [
            {
                "apartment_id": apartment_id,
                "number": number,
                "verdict": verdict,
                "reasons": json.loads(reasons or "[]"),
                "probed_at_ms": ended_at_ms,
            }
            for apartment_id, number, verdict, reasons, ended_at_ms in self._database.rows(_LATEST, (key,))
        ]
        verdicts = [handset["verdict"] for handset in handsets if handset["verdict"] is not None]
        return {"entrance_id": key, "finding": entrance_fault(verdicts), "handsets": handsets}
