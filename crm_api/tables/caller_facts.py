"""What is known of residents and desks that call, and of the numbers they may mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crm_api.domain.numbering import Candidate, Place, candidate
from crm_api.domain.ring_plan import CallerFacts
from crm_api.tables.ring_plan_statements import RINGS

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from crm_api.tables.ring_plan_facts import KnownPanel

_CALLER: Final = f"""
SELECT a.kind, {RINGS}, a.company_id, c.language, c.talk_limit_s, c.ring_timeout_s, c.ring_limit_s, c.look_limit_s,
       c.neighbour_calls, a.apartment_id, ap.house_id, ap.entrance_id, coalesce(ap.label, CAST(ap.number AS TEXT)),
       h.address, d.id, d.house_id, d.name
FROM accounts a
JOIN companies c ON c.id = a.company_id
LEFT JOIN apartments ap ON ap.id = a.apartment_id
LEFT JOIN houses h ON h.id = ap.house_id
LEFT JOIN concierge_desks d ON d.account_id = a.id
WHERE a.account = ? AND a.kind IN ('handset', 'indoor_unit', 'app', 'home_gateway', 'concierge')
"""  # noqa: S608 - constants
# Places with a code, of all panels that serve a house under one: what a visitor dials there.
_ESTATE: Final = """
SELECT pp.panel_id, pp.code || coalesce(p.separator, ''), pp.house_id, pp.entrance_id
FROM panel_places pp JOIN panels p ON p.id = pp.panel_id
WHERE pp.panel_id IN (SELECT panel_id FROM panel_places WHERE house_id = ? AND code <> '') ORDER BY pp.panel_id, pp.id
"""
_OF_COMPANY: Final = """
SELECT pp.panel_id, pp.code || coalesce(p.separator, ''), pp.house_id, pp.entrance_id
FROM panel_places pp JOIN panels p ON p.id = pp.panel_id
WHERE pp.company_id = ? AND pp.code <> '' ORDER BY pp.panel_id, pp.id
"""
_HOUSES: Final = "SELECT id FROM houses WHERE company_id = ? ORDER BY id LIMIT 2"


@dataclass(frozen=True)
class KnownCaller:
    """An account that calls: of a household, or of a desk (`apartment_id` None).

    `house_id` is where it lives, or the one house that the desk answers for. None is a desk of the whole company only
    when there `has_desk`: an account of kind concierge whose desk was removed, or never made, answers for nobody.
    """

    facts: CallerFacts
    account_rings: bool
    look_limit_s: int
    neighbour_calls: str
    apartment_id: int | None
    house_id: int | None
    entrance_id: int | None
    has_desk: bool

    @property
    def is_desk(self) -> bool:
        """Say whether a desk calls, not a resident; also one that answers for nobody."""
        return self.apartment_id is None

    @property
    def is_of_whole_company(self) -> bool:
        """Say whether a desk calls that answers for every house."""
        return self.has_desk and self.house_id is None

    def has_behind(self, panel: KnownPanel) -> bool:
        """Say whether this panel is one of the caller's own doors, or of those that the desk answers for."""
        if panel.facts.company_id != self.facts.company_id:
            return False
        if self.house_id is None:
            return self.is_of_whole_company
        return any(
            place.house_id == self.house_id and (self.is_desk or place.entrance_id in (None, self.entrance_id))
            for place in panel.places
        )


def known_caller(database: CrmDatabase, account: str, now_ms: int) -> KnownCaller | None:
    """Return what is known of a resident's or a desk's account; None for any other."""
    row = database.row(_CALLER, (now_ms, account))
    if row is None:
        return None
    kind, rings, company_id, language, talk_s, ring_timeout_s, ring_limit_s, look_s, neighbour_calls = row[:9]
    apartment_id, house_id, entrance_id, number, address, desk_id, desk_house_id, desk_name = row[9:]
    is_desk = kind == "concierge"
    name = (desk_name or account) if is_desk else f"{address}, {number}"
    facts = CallerFacts(company_id, name, language, talk_s, ring_timeout_s, ring_limit_s)
    home = desk_house_id if is_desk else house_id
    has_desk = desk_id is not None
    return KnownCaller(facts, bool(rings), look_s, neighbour_calls, apartment_id, home, entrance_id, has_desk)


def meant_apartments(database: CrmDatabase, caller: KnownCaller, dialled: str) -> list[Candidate]:
    """Return the apartments that a number may mean to this caller, the likeliest first.

    A bare number is an apartment of the own house; what a visitor dials at a gate of the estate is one of that house.
    """
    found: list[Candidate | None] = []
    house_id = caller.house_id
    if caller.is_of_whole_company:
        houses = database.rows(_HOUSES, (caller.facts.company_id,))
        house_id = houses[0][0] if len(houses) == 1 else None
    if house_id is not None:
        # 112 and 101 to 104 never come here as they are: such an apartment is dialled with a 0 before it.
        found.append(candidate((Place("", house_id, None),), dialled.lstrip("0")))
    if caller.is_of_whole_company:
        rows = database.rows(_OF_COMPANY, (caller.facts.company_id,))
    elif caller.has_desk or caller.neighbour_calls == "estate":
        rows = database.rows(_ESTATE, (caller.house_id,))
    else:
        rows = []
    gates: dict[int, list[Place]] = {}
    for panel_id, code, place_house_id, entrance_id in rows:
        gates.setdefault(panel_id, []).append(Place(code, place_house_id, entrance_id))
    found += [candidate(places, dialled) for places in gates.values()]
    return list(dict.fromkeys(meant for meant in found if meant is not None))


def houses_of_panel(panel: KnownPanel) -> tuple[int, ...]:
    """Return the houses that a panel serves."""
    return tuple(dict.fromkeys(place.house_id for place in panel.places))
