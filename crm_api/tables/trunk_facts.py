"""Which trunks dial the phones of a household, in order (the call path: no ORM)."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.ring_plan import Trunk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crm_api.tables.database import CrmDatabase

# A company's own routes come before those for all, a city's before those for all cities.
ORDER: Final = """CASE WHEN r.company_id IS NULL THEN 1 ELSE 0 END, CASE WHEN r.city_id IS NULL THEN 1 ELSE 0 END,
       r.position, r.id"""
ROUTES: Final = """trunk_routes r JOIN trunks t ON t.id = r.trunk_id
WHERE t.enabled = ? AND (r.company_id IS NULL OR r.company_id = ?)
AND (r.city_id IS NULL OR r.city_id = coalesce(
    (SELECT h.city_id FROM houses h WHERE h.id = ?), (SELECT c.city_id FROM companies c WHERE c.id = ?)))
"""
TRUNKS: Final = f"SELECT t.name, {ORDER}, t.kind, r.caller_number FROM {ROUTES}"  # noqa: S608 - constants
MOST_TRUNKS = 6
"""Of one call: more are never tried within the time that a visitor waits."""


def trunks(database: CrmDatabase, company_id: int, house_id: int | None) -> tuple[Trunk, ...]:
    """Return the trunks for phones of a house, each once, the first choice first."""
    return in_order(database.rows(TRUNKS, parameters(company_id, house_id)))


def parameters(company_id: int, house_id: int | None) -> tuple[object, ...]:
    """Return what `ROUTES` asks for."""
    return True, company_id, house_id, company_id


def in_order(rows: Iterable[tuple[Any, ...]]) -> tuple[Trunk, ...]:
    """Return each trunk once, the first choice first; rows as those of `TRUNKS`."""
    found: dict[str, Trunk] = {}
    for name, *_, kind, caller_number in sorted(rows, key=itemgetter(1, 2, 3, 4)):
        found.setdefault(name, Trunk(name, kind, caller_number))
    return tuple(found.values())[:MOST_TRUNKS]
