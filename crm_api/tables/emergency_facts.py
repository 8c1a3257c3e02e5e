"""What the daily check looks at: every city with the ways to its centre, every panel with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from crm_api.domain.numbering import EMERGENCY_NUMBERS

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

# The place of a panel is the first that it serves; a gate that serves several houses stands at the first of them.
PANELS: Final = """
SELECT account, panel_id, company_id, city_id, address FROM kamailio_emergency_panels
WHERE panel_id IS NOT NULL ORDER BY panel_id
"""
CITIES: Final = "SELECT city_id, number, centre, public_number FROM kamailio_emergency_cities"
CENTRE_TRUNKS: Final = """
SELECT e.city_id FROM emergency_trunks e JOIN trunks t ON t.name = e.trunk AND t.enabled = ? AND t.kind = 'sip'
"""
POOLS: Final = "SELECT DISTINCT city_id FROM city_numbers WHERE in_service = ?"
ANY_TRUNK: Final = "SELECT 1 FROM trunks WHERE enabled = ? AND kind = 'sip' LIMIT 1"
MAPPED: Final = "SELECT numbers FROM emergency_rules WHERE company_id = ?"
DESKS: Final = """
SELECT d.company_id, a.account FROM concierge_desks d JOIN accounts a ON a.id = d.account_id
WHERE d.on_duty = ? AND a.enabled = ? ORDER BY d.company_id, d.house_id IS NOT NULL, d.priority, d.id
"""


class CityState(NamedTuple):
    """Whether the city has a dispatch centre, a trunk that leads there, and a number to call from."""

    has_centre: bool
    has_trunk: bool
    has_number: bool


class PanelState(NamedTuple):
    """A panel and where it stands."""

    panel: str
    panel_id: int
    company_id: int
    city_id: int | None
    address: str


def cities(database: CrmDatabase) -> dict[int, CityState]:
    """Return the state of every city."""
    own = {city_id for (city_id,) in database.rows(CENTRE_TRUNKS, (True,))}
    pools = {city_id for (city_id,) in database.rows(POOLS, (True,))}
    any_trunk = database.row(ANY_TRUNK, (True,)) is not None
    return {
        city_id: CityState(
            has_centre=bool(centre),
            has_trunk=(bool(centre) and city_id in own) or (bool(public) and any_trunk),
            has_number=city_id in pools,
        )
        for city_id, _, centre, public in database.rows(CITIES)
    }


def panels(database: CrmDatabase) -> list[PanelState]:
    """Return every panel."""
    return [PanelState(*row) for row in database.rows(PANELS)]


def mapped_numbers(database: CrmDatabase, company_id: int) -> tuple[str, ...]:
    """Return which of 101 to 104 are emergency numbers to a company; one without rules has all of them."""
    row = database.row(MAPPED, (company_id,))
    return EMERGENCY_NUMBERS if row is None else tuple(json.loads(row[0]))


AUTO_ANSWERING: Final = frozenset({"beward", "akuvox", "fanvil", "dahua", "hikvision"})
"""Makers whose panels answer by themselves when the INVITE asks for it (Alert-Info, Answer-Mode; RFC 5373)."""


def desks(database: CrmDatabase) -> dict[str, list[str]]:
    """Return the accounts of the desks on duty of each company, those for all its houses first."""
    found: dict[str, list[str]] = {}
    for company_id, account in database.rows(DESKS, (True, True)):
        found.setdefault(str(company_id), []).append(account)
    return found
