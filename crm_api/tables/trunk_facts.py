"""Which trunks dial the phones of a household, in order (the call path: no ORM)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.ring_plan import Trunk

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

# A company's own routes come before those for all, a city's before those for all cities.
TRUNKS = """
SELECT t.name, t.kind, r.caller_number
FROM trunk_routes r JOIN trunks t ON t.id = r.trunk_id
WHERE t.enabled = ? AND (r.company_id IS NULL OR r.company_id = ?)
AND (r.city_id IS NULL OR r.city_id = coalesce(
    (SELECT h.city_id FROM houses h WHERE h.id = ?), (SELECT c.city_id FROM companies c WHERE c.id = ?)))
ORDER BY CASE WHEN r.company_id IS NULL THEN 1 ELSE 0 END, CASE WHEN r.city_id IS NULL THEN 1 ELSE 0 END,
    r.position, r.id
"""
MOST_TRUNKS = 6
"""Of one call: more are never tried within the time that a visitor waits."""


def trunks(database: CrmDatabase, company_id: int, house_id: int | None) -> tuple[Trunk, ...]:
    """Return the trunks for phones of a house, each once, the first choice first."""
    found: dict[str, Trunk] = {}
    for name, kind, caller_number in database.rows(TRUNKS, (True, company_id, house_id, company_id)):
        found.setdefault(name, Trunk(name, kind, caller_number))
    return tuple(found.values())[:MOST_TRUNKS]
