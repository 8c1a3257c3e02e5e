"""Keys with the names of what they are bound to, for export; and the keys that open at a panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crm_api.tables.block_facts import STOPPED_BY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.tables.database import CrmDatabase

_ROWS: Final = """
SELECT k.id, k.number, k.enabled, k.scope, h.address, e.number, a.label, a.number, r.name, k.resident_id, k.note
FROM rfid_keys k
LEFT JOIN residents r ON r.id = k.resident_id
LEFT JOIN apartments a ON a.id = k.apartment_id
LEFT JOIN entrances e ON e.id = coalesce(k.entrance_id, a.entrance_id)
LEFT JOIN houses h ON h.id = coalesce(k.house_id, e.house_id)
WHERE k.id > ?{conditions}
ORDER BY k.id LIMIT ?
"""

_HOMES: Final = "SELECT apartment_id FROM residencies WHERE resident_id = k.resident_id"

_OF_HOUSE: Final = f"""(
    k.house_id = ? OR e.house_id = ?
    OR EXISTS (SELECT 1 FROM apartments x WHERE x.house_id = ? AND x.id IN ({_HOMES})))"""  # noqa: S608 - constants

_SERVED: Final = """EXISTS (
    SELECT 1 FROM panel_places pp
    LEFT JOIN apartments x ON x.house_id = pp.house_id
        AND (x.id = k.apartment_id OR x.id IN (
            SELECT q.apartment_id FROM residencies q
            WHERE q.resident_id = k.resident_id AND (q.ends_at_ms IS NULL OR q.ends_at_ms > ?)))
    WHERE pp.panel_id = ? AND (
        k.house_id = pp.house_id
        OR (k.entrance_id IS NOT NULL AND e.house_id = pp.house_id
            AND (pp.entrance_id IS NULL OR pp.entrance_id = k.entrance_id))
        OR (x.id IS NOT NULL AND (pp.entrance_id IS NULL OR pp.entrance_id = x.entrance_id)
            AND NOT {stopped})))"""
_COMPANY_KEY: Final = "(k.scope = 'company' AND k.company_id = (SELECT company_id FROM panels WHERE id = ?))"


@dataclass(frozen=True)
class KeysAsked:
    """Which keys: of these companies (None: all), of a company, of a house, those that open at a panel."""

    companies: frozenset[int] | None = None
    company_id: int | None = None
    house_id: int | None = None
    panel_id: int | None = None


def exported(database: CrmDatabase, asked: KeysAsked, now_ms: int, batch: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield batches of (number, enabled, scope, address, entrance, apartment, resident, resident_id, note)."""
    true = "TRUE" if database.dialect == "postgresql" else "1"
    conditions, parameters = _conditions(asked, now_ms, true)
    after = 0
    while True:
        rows = database.rows(_ROWS.format(conditions=conditions), (after, *parameters, batch))
        if not rows:
            return
        after = rows[-1][0]
        yield [
            (number, enabled, scope, address, entrance, label or apartment, resident, resident_id, note)
            for _, number, enabled, scope, address, entrance, label, apartment, resident, resident_id, note in rows
        ]


def _conditions(asked: KeysAsked, now_ms: int, true: str) -> tuple[str, list[object]]:
    conditions: list[str] = []
    parameters: list[object] = []
    if asked.companies is not None:
        conditions.append(f"k.company_id IN ({', '.join('?' * len(asked.companies)) or 'NULL'})")
        parameters += sorted(asked.companies)
    if asked.company_id is not None:
        conditions.append("k.company_id = ?")
        parameters.append(asked.company_id)
    if asked.house_id is not None:
        conditions.append(_OF_HOUSE)
        parameters += [asked.house_id] * 3
    if asked.panel_id is not None:
        stopped = STOPPED_BY.format(apartment="x.id", what="stops_keys", true=true)
        conditions.append(f"k.enabled = {true} AND ({_SERVED.format(stopped=stopped)} OR {_COMPANY_KEY})")
        parameters += [now_ms, asked.panel_id, now_ms, now_ms, asked.panel_id]
    return "".join(f" AND {condition}" for condition in conditions), parameters
