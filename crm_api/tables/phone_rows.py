"""Limits of phones and what they have used: a statement a fact, only where a plan has phones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.phone_limits import Limits, month_of

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

LIMITS: Final = "SELECT phone_countries, phone_minutes, apartment_phone_minutes FROM companies WHERE id = ?"
USED: Final = "SELECT coalesce(sum(billed_s), 0) FROM phone_legs WHERE company_id = ? AND ended_at_ms >= ?"
APARTMENT_USED: Final = "SELECT coalesce(sum(billed_s), 0) FROM phone_legs WHERE apartment_id = ? AND ended_at_ms >= ?"
RESIDENTS: Final = """
SELECT p.phone FROM resident_phones p JOIN residencies r ON r.resident_id = p.resident_id
WHERE r.apartment_id = ? AND (r.ends_at_ms IS NULL OR r.ends_at_ms > ?)
"""
BY_TRUNK: Final = """
SELECT trunk, currency, count(*), coalesce(sum(billed_s), 0), coalesce(sum(cost_micros), 0) FROM phone_legs
WHERE company_id = ? AND ended_at_ms >= ? AND ended_at_ms < ? GROUP BY trunk, currency ORDER BY trunk, currency
"""
BY_APARTMENT: Final = """
SELECT apartment_id, currency, count(*), coalesce(sum(billed_s), 0), coalesce(sum(cost_micros), 0) FROM phone_legs
WHERE company_id = ? AND ended_at_ms >= ? AND ended_at_ms < ? GROUP BY apartment_id, currency
ORDER BY apartment_id, currency
"""


def limits(database: CrmDatabase, company_id: int, apartment_id: int | None, now_ms: int) -> Limits:
    """Return what the company allows, and what was used since the month began."""
    since_ms, _ = month_of(now_ms)
    countries, minutes, apartment_minutes = database.row(LIMITS, (company_id,)) or ("", None, None)
    used = apartment_used = 0
    if minutes is not None:
        used = _sum(database.row(USED, (company_id, since_ms)))
    if apartment_minutes is not None and apartment_id is not None:
        apartment_used = _sum(database.row(APARTMENT_USED, (apartment_id, since_ms)))
    allowed = frozenset(country for country in countries.split(",") if country)
    return Limits(allowed, minutes, apartment_minutes, used, apartment_used)


def residents(database: CrmDatabase, apartment_id: int, now_ms: int) -> frozenset[str]:
    """Return the phones of those who live in an apartment."""
    return frozenset(row[0] for row in database.rows(RESIDENTS, (apartment_id, now_ms)))


def _sum(row: tuple[Any, ...] | None) -> int:
    return 0 if row is None else int(row[0])
