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
SELECT e.city_id, e.trunk FROM emergency_trunks e
JOIN trunks t ON t.name = e.trunk AND t.enabled = ? AND t.kind = 'sip'
"""
POOLS: Final = "SELECT DISTINCT city_id FROM city_numbers WHERE in_service = ?"
ANY_TRUNK: Final = "SELECT name FROM trunks WHERE enabled = ? AND kind = 'sip'"
LAST_STEPS: Final = """
SELECT steps, test FROM emergency_calls WHERE direction = 'out' AND started_at_ms > ?
ORDER BY started_at_ms DESC LIMIT 1000
"""
LOOKED_BACK_MS: Final = 7 * 86_400_000
_WORKED: Final = frozenset({"rings", "answered"})
_FAILED: Final = frozenset({"way_failed", "trunk_failed"})
# What a dispatcher's own telephone says: the trunk has done its work.
_SAID_BY_CENTRE: Final = tuple(f"answered {status}" for status in (480, 486, 487, 600, 603))
# Nobody has this number: of a test call that is the centre's test number, which says nothing of the way to 112.
_NO_SUCH_NUMBER: Final = tuple(f"answered {status}" for status in (404, 410, 484, 604))
MAPPED: Final = "SELECT numbers FROM emergency_rules WHERE company_id = ?"
DESKS: Final = """
SELECT d.company_id, a.account FROM concierge_desks d JOIN accounts a ON a.id = d.account_id
WHERE d.on_duty = ? AND a.enabled = ? ORDER BY d.company_id, d.house_id IS NOT NULL, d.priority, d.id
"""


class CityState(NamedTuple):
    """Whether the city has a dispatch centre, a trunk that leads there and works, and a number to call from."""

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


def failing_trunks(database: CrmDatabase, since_ms: int) -> set[str]:
    """Return the trunks that failed the last emergency call (or test call) since then that was sent to them."""
    works: dict[str, bool] = {}
    for steps, test in database.rows(LAST_STEPS, (since_ms,)):
        for told in reversed(json.loads(steps)):
            trunk = told["detail"].partition(" ")[0]
            if told["step"] in _WORKED:
                works.setdefault(trunk, True)
            elif told["step"] in _FAILED and not (test and told["detail"].endswith(_NO_SUCH_NUMBER)):
                works.setdefault(trunk, told["detail"].endswith(_SAID_BY_CENTRE))
    return {trunk for trunk, does in works.items() if not does}


def cities(database: CrmDatabase, now_ms: int) -> dict[int, CityState]:
    """Return the state of every city. A trunk works that is enabled and did not fail the last call sent to it."""
    failing = failing_trunks(database, now_ms - LOOKED_BACK_MS)
    own = {city_id for city_id, trunk in database.rows(CENTRE_TRUNKS, (True,)) if trunk not in failing}
    pools = {city_id for (city_id,) in database.rows(POOLS, (True,))}
    any_trunk = any(trunk not in failing for (trunk,) in database.rows(ANY_TRUNK, (True,)))
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
