"""Ring plans decided from the database: what a call asks for, and what a door's permission is checked against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crm_api.domain import ring_plan
from crm_api.domain.numbering import ALWAYS_EMERGENCY, EMERGENCY_NUMBERS, candidate
from crm_api.tables import ring_plan_facts

if TYPE_CHECKING:
    from crm_api.domain.ring_plan import PanelFacts, RingPlan
    from crm_api.services.context import Context


@dataclass(frozen=True)
class Planned:
    """A plan, and what was known of the panel (None: no such panel)."""

    plan: RingPlan
    facts: PanelFacts | None


class Planning:
    """Decides ring plans."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def planned(self, panel: str, dialled: str) -> Planned:
        """Return the plan of (panel, dialled) at this moment.

        `issued_at_ms` is taken before anything is read: a plan is never younger than its facts.
        """
        database = self._context.database
        now_ms = self._context.now_ms()
        with database.snapshot():
            known = ring_plan_facts.known_panel(database, panel)
            if known is None:
                return Planned(ring_plan.unknown_number(panel, dialled, now_ms, None), None)
            facts = known.facts
            meant = candidate(known.places, dialled) if dialled != ALWAYS_EMERGENCY else None
            apartment_id = None if meant is None else ring_plan_facts.apartment_id(database, meant)
            if meant is not None and apartment_id is not None:
                household = ring_plan_facts.household(database, facts, meant, apartment_id, now_ms)
                return Planned(ring_plan.household_plan(panel, dialled, now_ms, facts, household), facts)
            if dialled in EMERGENCY_NUMBERS:
                dispatch = ring_plan_facts.dispatch_centre(database, facts)
                return Planned(ring_plan.emergency(panel, dialled, now_ms, facts, dispatch), facts)
            return Planned(ring_plan.unknown_number(panel, dialled, now_ms, facts), facts)
