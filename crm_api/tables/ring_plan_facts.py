"""Everything a ring plan is decided from, read with a handful of indexed statements (the call path: no ORM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crm_api.domain.numbering import Candidate, Place
from crm_api.domain.ring_plan import Door, Household, Member, PanelFacts, StageRule, TargetRule

if TYPE_CHECKING:
    from crm_api.domain.ring_plan import OnRefusal
    from crm_api.tables.database import CrmDatabase

PANEL = """
SELECT p.id, p.company_id, p.name, c.language, c.talk_limit_s, c.ring_timeout_s,
       d.id, d.method, d.dtmf, pp.code, pp.house_id, pp.entrance_id
FROM accounts a
JOIN panels p ON p.account_id = a.id
JOIN companies c ON c.id = p.company_id
LEFT JOIN doors d ON d.panel_id = p.id AND d.output = (SELECT min(output) FROM doors WHERE panel_id = p.id)
LEFT JOIN panel_places pp ON pp.panel_id = p.id
WHERE a.account = ?
ORDER BY pp.id
"""
APARTMENT = "SELECT id, entrance_id FROM apartments WHERE house_id = ? AND number = ?"
MEMBERS = "SELECT account, kind, enabled, phone FROM accounts WHERE apartment_id = ? ORDER BY id"
STOPS = """
SELECT k.stops_calls, k.stops_opening FROM blocks b JOIN block_kinds k ON k.id = b.kind_id
WHERE b.apartment_id = ? AND b.starts_at_ms <= ? AND (b.ends_at_ms IS NULL OR b.ends_at_ms > ?)
"""
KEPT_PLAN = """
SELECT s.position, s.ring_timeout_s, s.on_refusal, t.kind, a.account, a.kind, a.enabled, a.apartment_id, a.phone
FROM ring_stages s
LEFT JOIN ring_targets t ON t.stage_id = s.id
LEFT JOIN accounts a ON a.id = t.account_id
WHERE s.plan_id = coalesce(
    (SELECT id FROM ring_plans WHERE apartment_id = ?),
    (SELECT id FROM ring_plans WHERE house_id = ?),
    (SELECT id FROM ring_plans WHERE company_id = ? AND house_id IS NULL AND apartment_id IS NULL))
ORDER BY s.position, t.position
"""
DESKS = """
SELECT d.priority, a.account, a.kind, a.enabled FROM concierge_desks d JOIN accounts a ON a.id = d.account_id
WHERE d.company_id = ? AND (d.house_id IS NULL OR d.house_id = ?) AND d.on_duty = ? AND a.enabled = ?
ORDER BY d.priority, d.id
"""
DISPATCH = """
SELECT a.account, a.kind, a.enabled FROM dispatch_centres d JOIN accounts a ON a.id = d.account_id
WHERE d.city_id = coalesce(
    (SELECT h.city_id FROM panel_places pp JOIN houses h ON h.id = pp.house_id
     WHERE pp.panel_id = ? ORDER BY pp.id LIMIT 1),
    (SELECT city_id FROM companies WHERE id = ?))
UNION ALL
SELECT a.account, a.kind, a.enabled FROM dispatch_centres d JOIN accounts a ON a.id = d.account_id
WHERE d.company_id = ?
"""


@dataclass(frozen=True)
class KnownPanel:
    """A panel and the places it serves."""

    facts: PanelFacts
    places: tuple[Place, ...]


def known_panel(database: CrmDatabase, account: str) -> KnownPanel | None:
    """Return the panel with this account, None when there is none."""
    rows = database.rows(PANEL, (account,))
    if not rows:
        return None
    panel_id, company_id, name, language, talk_limit_s, ring_timeout_s, door_id, method, dtmf = rows[0][:9]
    # To the call side a door opens by digits in the call, or by the CRM: through the panel's driver or a relay.
    by_digits = method == "dtmf"
    door = None if door_id is None else Door(door_id, "dtmf" if by_digits else "http", dtmf if by_digits else None)
    facts = PanelFacts(panel_id, company_id, name, language, talk_limit_s, ring_timeout_s, door)
    return KnownPanel(facts, tuple(Place(row[9], row[10], row[11]) for row in rows if row[9] is not None))


def apartment_id(database: CrmDatabase, candidate: Candidate) -> int | None:
    """Return the apartment that a number means, None when it does not exist (or stands in another entrance)."""
    row = database.row(APARTMENT, (candidate.house_id, candidate.number))
    if row is None or candidate.entrance_id not in (None, row[1]):
        return None
    return int(row[0])


def household(
    database: CrmDatabase, facts: PanelFacts, candidate: Candidate, apartment_id: int, now_ms: int
) -> Household:
    """Return what decides the plan of this apartment at this moment."""
    members = tuple(
        Member(account, kind, bool(enabled), apartment_id, phone)
        for account, kind, enabled, phone in database.rows(MEMBERS, (apartment_id,))
    )
    stages = _stages(database.rows(KEPT_PLAN, (apartment_id, candidate.house_id, facts.company_id)))
    stops = database.rows(STOPS, (apartment_id, now_ms, now_ms))
    return Household(
        apartment_id=apartment_id,
        members=members,
        stops_calls=any(calls for calls, _ in stops),
        stops_opening=any(opening for _, opening in stops),
        stages=stages,
        desks=_desks(database, facts.company_id, candidate.house_id) if _asks_for_desks(stages) else (),
    )


def dispatch_centre(database: CrmDatabase, facts: PanelFacts) -> Member | None:
    """Return the dispatch centre of the panel's city, else of its company; a disabled one gives way to the other."""
    rows = database.rows(DISPATCH, (facts.panel_id, facts.company_id, facts.company_id))
    return next((Member(account, kind, True, None) for account, kind, enabled in rows if enabled), None)


def _asks_for_desks(stages: tuple[StageRule, ...] | None) -> bool:
    return stages is not None and any(line.kind == "concierge" for stage in stages for line in stage.targets)


def _desks(database: CrmDatabase, company_id: int, house_id: int) -> tuple[tuple[Member, ...], ...]:
    """Return the desks on duty for a house, those of one priority together, lowest first."""
    desks: dict[int, list[Member]] = {}
    for priority, account, kind, enabled in database.rows(DESKS, (company_id, house_id, True, True)):
        desks.setdefault(priority, []).append(Member(account, kind, bool(enabled), None))
    return tuple(tuple(members) for members in desks.values())


def _stages(rows: list[tuple[Any, ...]]) -> tuple[StageRule, ...] | None:
    if not rows:
        return None
    stages: dict[int, tuple[int, OnRefusal, list[TargetRule]]] = {}
    for position, ring_timeout_s, on_refusal, kind, account, account_kind, enabled, home, phone in rows:
        _, _, targets = stages.setdefault(position, (ring_timeout_s, on_refusal, []))
        if kind is not None:
            targets.append(TargetRule(kind=kind))
        elif account is not None:
            targets.append(TargetRule(member=Member(account, account_kind, bool(enabled), home, phone)))
    return tuple(StageRule(seconds, tuple(targets), on_refusal) for seconds, on_refusal, targets in stages.values())
