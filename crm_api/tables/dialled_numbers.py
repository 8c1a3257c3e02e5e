"""Which (panel, number) pairs reach which apartments: what has to be dropped from the cache after a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from crm_api.domain.numbering import CONCIERGE_NUMBERS, EMERGENCY_NUMBERS, number_to_dial
from crm_api.tables.many_ids import asked_for
from crm_api.tables.ring_plan_statements import PLACE_CODE

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from crm_api.tables.database import CrmDatabase

Pair = tuple[str, str]
Scope = Literal["panel", "house", "company", "city"]

_PAIRS = f"""
SELECT a.account, {PLACE_CODE}, ap.number, ap.id
FROM panel_places pp
JOIN panels p ON p.id = pp.panel_id
JOIN accounts a ON a.id = p.account_id
JOIN apartments ap ON ap.house_id = pp.house_id AND (pp.entrance_id IS NULL OR pp.entrance_id = ap.entrance_id)
WHERE {{condition}}
"""  # noqa: S608 - a constant
_OF_APARTMENTS = _PAIRS.format(condition="ap.id IN ({marks})") + " ORDER BY p.id"
_REACH = f"""
SELECT pp.house_id, pp.entrance_id, a.account, {PLACE_CODE}
FROM panel_places pp JOIN panels p ON p.id = pp.panel_id JOIN accounts a ON a.id = p.account_id
WHERE pp.house_id IN ({{marks}}) ORDER BY p.id
"""  # noqa: S608 - a constant
# Of a resident's own accounts only a guest's lose their right by themselves.
_PLANS_NAMING_GUESTS = """
SELECT DISTINCT rp.company_id, rp.house_id, rp.apartment_id
FROM accounts a
JOIN residencies r ON r.resident_id = a.resident_id AND r.apartment_id = a.apartment_id
JOIN ring_targets t ON t.account_id = a.id
JOIN ring_stages s ON s.id = t.stage_id
JOIN ring_plans rp ON rp.id = s.plan_id
WHERE r.ends_at_ms IS NOT NULL AND a.apartment_id IN ({marks})
"""
_PLANS_NAMING = """
SELECT rp.company_id, rp.house_id, rp.apartment_id FROM ring_targets t
JOIN ring_stages s ON s.id = t.stage_id JOIN ring_plans rp ON rp.id = s.plan_id WHERE t.account_id = ?
"""
_DESKS = "SELECT company_id, house_id FROM concierge_desks WHERE account_id = ?"
_DISPATCH = "SELECT city_id, company_id FROM dispatch_centres WHERE account_id = ?"
_BLOCKED = "SELECT DISTINCT apartment_id FROM blocks WHERE kind_id = ?"
_PANELS = "SELECT a.account FROM panels p JOIN accounts a ON a.id = p.account_id WHERE {condition}"

_PAIR_CONDITIONS: dict[str, str] = {
    "panel": "p.id = ?",
    "house": "pp.house_id = ?",
    "company": "pp.company_id = ?",
}
_PANEL_CONDITIONS: dict[str, str] = {
    "panel": "p.id = ?",
    "house": "p.id IN (SELECT panel_id FROM panel_places WHERE house_id = ?)",
    "company": "p.company_id = ?",
    "city": """p.company_id IN (SELECT id FROM companies WHERE city_id = ?)
               OR p.id IN (SELECT pp.panel_id FROM panel_places pp JOIN houses h ON h.id = pp.house_id
                           WHERE h.city_id = ?)""",
}


def of_apartments(database: CrmDatabase, apartment_ids: Iterable[int]) -> list[Pair]:
    """Return every pair that reaches one of the apartments."""
    return [pair for pairs in by_apartment(database, apartment_ids).values() for pair in pairs]


def of_changed_rights(database: CrmDatabase, apartment_ids: Iterable[int]) -> Iterator[Pair]:
    """Yield every pair that reaches one of the apartments, or whose plan names an account of a guest of theirs."""
    apartments = set(apartment_ids)
    wider: set[tuple[Scope, int]] = set()
    for company_id, house_id, apartment_id in asked_for(database, _PLANS_NAMING_GUESTS, sorted(apartments)):
        if apartment_id is not None:
            apartments.add(apartment_id)
        elif house_id is not None:
            wider.add(("house", house_id))
        else:
            wider.add(("company", company_id))
    yield from of_apartments(database, apartments)
    for scope, key in sorted(wider):
        yield from of_scope(database, scope, key)


def apartments_naming(database: CrmDatabase, account_id: int) -> list[int]:
    """Return the apartments whose own kept plan names the account."""
    return [row[2] for row in database.rows(_PLANS_NAMING, (account_id,)) if row[2] is not None]


def scopes_of_account(database: CrmDatabase, account_id: int) -> list[tuple[Scope, int]]:
    """Return whose plans name it beside those of apartments: of a house or company, of its desk or dispatch centre."""
    found: set[tuple[Scope, int]] = set()
    for company_id, house_id, apartment_id in database.rows(_PLANS_NAMING, (account_id,)):
        if apartment_id is None:
            found.add(("company", company_id) if house_id is None else ("house", house_id))
    for company_id, house_id in database.rows(_DESKS, (account_id,)):
        found.add(("company", company_id) if house_id is None else ("house", house_id))
    for city_id, company_id in database.rows(_DISPATCH, (account_id,)):
        found.add(("company", company_id) if city_id is None else ("city", city_id))
    return sorted(found)


def of_account(
    database: CrmDatabase, account_id: int, without: Container[tuple[str, str]] = frozenset()
) -> Iterator[Pair]:
    """Yield every pair whose plan may ring the account but for those of its own apartment; none of one that is gone.

    Args:
        database: read at the moment of delivery.
        account_id: of the account.
        without: houses, companies and cities to leave out, each as the outbox has it: scope, and key as text.
    """
    yield from of_apartments(database, apartments_naming(database, account_id))
    for scope, key in scopes_of_account(database, account_id):
        if (scope, str(key)) not in without:
            yield from of_scope(database, scope, key)


def of_block_kind(database: CrmDatabase, kind_id: int) -> list[Pair]:
    """Return every pair that reaches an apartment under a block of this kind, be it over or to come."""
    return of_apartments(database, [row[0] for row in database.rows(_BLOCKED, (kind_id,))])


def by_apartment(database: CrmDatabase, apartment_ids: Iterable[int]) -> dict[int, list[Pair]]:
    """Return the pairs that reach each apartment, the oldest panel first; one that no panel reaches is left out."""
    pairs: dict[int, list[Pair]] = {}
    for panel, code, number, apartment_id in asked_for(database, _OF_APARTMENTS, sorted(set(apartment_ids))):
        pairs.setdefault(apartment_id, []).append((panel, number_to_dial(code, number)))
    return pairs


class Reach:
    """Which panels reach the apartments of some houses, also of apartments that are still to be made."""

    def __init__(self, database: CrmDatabase, house_ids: Iterable[int]) -> None:
        self._places: dict[int, list[tuple[int | None, str, str]]] = {}
        for house_id, *place in asked_for(database, _REACH, sorted(set(house_ids))):
            entrance_id, panel, code = place
            self._places.setdefault(house_id, []).append((entrance_id, panel, code))

    def dial(self, house_id: int, entrance_id: int, number: int) -> dict[str, str]:
        """Return the number to dial on each panel, the oldest panel first."""
        places = self._places.get(house_id, ())
        return {panel: number_to_dial(code, number) for only, panel, code in places if only in (None, entrance_id)}


def of_scope(database: CrmDatabase, scope: Scope, key: int) -> Iterator[Pair]:
    """Yield every pair of a panel, house, company or city, emergency numbers and the concierge included.

    A change of a city concerns its dispatch centre alone: emergency numbers only.
    """
    condition = _PANEL_CONDITIONS[scope]
    for (panel,) in database.rows(_PANELS.format(condition=condition), (key,) * condition.count("?")):
        for number in EMERGENCY_NUMBERS:
            yield panel, number
        if scope != "city":
            for number in CONCIERGE_NUMBERS:
                yield panel, number
    if scope in _PAIR_CONDITIONS:
        sql = _PAIRS.format(condition=_PAIR_CONDITIONS[scope])
        for panel, code, number, _ in database.rows(sql, (key,)):
            yield panel, number_to_dial(code, number)
