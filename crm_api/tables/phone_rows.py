"""Limits of phones and what they have used: read at once, only where a plan has phones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crm_api.domain.phone_limits import Limits, month_of
from crm_api.tables import trunk_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.ring_plan import Trunk
    from crm_api.tables.database import CrmDatabase

DAY_MS: Final = 86_400_000
"""A month of UTC begins with a day of UTC; legs are counted by day (`m0040_phone_seconds`)."""


def _used(counted: str) -> str:
    return f"""CAST((
    SELECT coalesce(sum(billed_s), 0) FROM phone_seconds WHERE counted = '{counted}' AND of_whom = ? AND day >= ?
    ) AS BIGINT)"""  # noqa: S608 - constants


LIMITS: Final = f"""
SELECT 0, phone_countries, phone_minutes, apartment_phone_minutes, {_used("company")}, {_used("apartment")},
       CAST(NULL AS TEXT), CAST(NULL AS TEXT)
FROM companies WHERE id = ?
"""  # noqa: S608 - constants
# One statement, where four took four round trips to PostgreSQL and back: each costs more than what it reads.
FACTS: Final = f"""
{LIMITS}
UNION ALL
SELECT 1, p.phone, NULL, NULL, NULL, NULL, NULL, NULL
FROM resident_phones p JOIN residencies r ON r.resident_id = p.resident_id
WHERE r.apartment_id = ? AND (r.ends_at_ms IS NULL OR r.ends_at_ms > ?)
UNION ALL
SELECT 2, a.account, NULL, NULL, NULL, NULL, NULL, NULL
FROM concierge_desks d JOIN accounts a ON a.id = d.account_id
WHERE d.company_id = ? AND d.phone IS NOT NULL
UNION ALL
SELECT 3, t.name, {trunk_facts.ORDER}, t.kind, r.caller_number
FROM {trunk_facts.ROUTES}
"""  # noqa: S608 - constants
_LIMITS, _RESIDENT, _DESK, _TRUNK = range(4)
BY_TRUNK: Final = """
SELECT trunk, currency, count(*), coalesce(sum(billed_s), 0), coalesce(sum(cost_micros), 0) FROM phone_legs
WHERE company_id = ? AND ended_at_ms >= ? AND ended_at_ms < ? GROUP BY trunk, currency ORDER BY trunk, currency
"""
BY_APARTMENT: Final = """
SELECT apartment_id, currency, count(*), coalesce(sum(billed_s), 0), coalesce(sum(cost_micros), 0) FROM phone_legs
WHERE company_id = ? AND ended_at_ms >= ? AND ended_at_ms < ? GROUP BY apartment_id, currency
ORDER BY apartment_id, currency
"""


class PhoneFacts(NamedTuple):
    """What decides which phones of an apartment are dialled, and by whom."""

    limits: Limits
    residents: frozenset[str]
    """Numbers of those who live there."""
    desks: frozenset[str]
    """Accounts of the company's desks that are telephones."""
    trunks: tuple[Trunk, ...]


def limits(database: CrmDatabase, company_id: int, apartment_id: int | None, now_ms: int) -> Limits:
    """Return what the company allows, and what was used since the month began."""
    return _limits(database.rows(LIMITS, _whose(company_id, apartment_id, now_ms)))


def facts(database: CrmDatabase, company_id: int, apartment_id: int, house_id: int | None, now_ms: int) -> PhoneFacts:
    """Return what is known of the phones of an apartment, and who dials for its house."""
    parts: tuple[list[tuple[Any, ...]], ...] = ([], [], [], [])
    whose = _whose(company_id, apartment_id, now_ms)
    parameters = (*whose, apartment_id, now_ms, company_id, *trunk_facts.parameters(company_id, house_id))
    for row in database.rows(FACTS, parameters):
        parts[row[0]].append(row)
    return PhoneFacts(
        limits=_limits(parts[_LIMITS]),
        residents=frozenset(row[1] for row in parts[_RESIDENT]),
        desks=frozenset(row[1] for row in parts[_DESK]),
        trunks=trunk_facts.in_order([row[1:] for row in parts[_TRUNK]]),
    )


def _whose(company_id: int, apartment_id: int | None, now_ms: int) -> tuple[int | None, ...]:
    since_day = month_of(now_ms)[0] // DAY_MS
    return company_id, since_day, apartment_id, since_day, company_id


def _limits(rows: Sequence[tuple[Any, ...]]) -> Limits:
    countries, minutes, apartment_minutes, used_s, apartment_used_s = rows[0][1:6] if rows else ("", None, None, 0, 0)
    allowed = frozenset(country for country in countries.split(",") if country)
    return Limits(allowed, minutes, apartment_minutes, used_s, apartment_used_s)
