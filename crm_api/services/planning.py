"""Ring plans decided from the database: what a call asks for, and what a door's permission is checked against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from crm_api.domain import phone_limits, resident_calls, ring_plan
from crm_api.domain.numbering import ALWAYS_EMERGENCY, CONCIERGE_NUMBERS, EMERGENCY_NUMBERS, candidate
from crm_api.domain.resident_calls import Asked
from crm_api.tables import caller_facts, emergency_facts, phone_rows, ring_plan_facts, trunk_facts
from crm_api.tables.block_facts import stops

if TYPE_CHECKING:
    from crm_api.domain.ring_plan import PanelFacts, RingPlan
    from crm_api.services.context import Context
    from crm_api.tables.caller_facts import KnownCaller
    from crm_api.tables.ring_plan_facts import Home, KnownPanel


WARM_UPS: Final = {"sqlite": 1, "postgresql": 12}
"""psycopg prepares a statement that it has sent five times, PostgreSQL plans one anew the first five times after."""
_SOME: Final = """
SELECT a.account, CAST(ap.number AS TEXT) FROM panel_places pp JOIN panels p ON p.id = pp.panel_id
JOIN accounts a ON a.id = p.account_id JOIN apartments ap ON ap.entrance_id = pp.entrance_id
WHERE pp.code = '' LIMIT 1
"""


class _Pressed(NamedTuple):
    """Which number on which panel, and when."""

    panel: str
    dialled: str
    at_ms: int


@dataclass(frozen=True)
class Planned:
    """A plan, and what was known of the panel (None: no panel calls)."""

    plan: RingPlan
    facts: PanelFacts | None


class Planning:
    """Decides ring plans."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def warm_up(self) -> None:
        """Have this thread's connection opened and its statements planned, before a visitor waits for that."""
        database = self._context.database
        found = database.row(_SOME)
        if found is not None:
            for _ in range(WARM_UPS[database.dialect]):
                self.planned(*found)

    def planned(self, account: str, dialled: str) -> Planned:
        """Return the plan of (calling account, dialled) at this moment.

        `issued_at_ms` is taken before anything is read: a plan is never younger than its facts.
        """
        database = self._context.database
        now_ms = self._context.now_ms()
        with database.snapshot():
            known, home = ring_plan_facts.known_panel_and_home(database, account, dialled, now_ms)
            if known is not None:
                house_id = next((place.house_id for place in known.places), None)
                plan = self._of_panel(known, home, _Pressed(account, dialled, now_ms))
                return Planned(self._with_trunks(plan, house_id), known.facts)
            caller = caller_facts.known_caller(database, account, now_ms)
            if caller is None:
                return Planned(ring_plan.unknown_number(account, dialled, now_ms, None), None)
            plan = self._of_caller(caller, account, dialled, now_ms)
            return Planned(self._with_trunks(plan, caller.house_id), None)

    def _with_trunks(self, plan: RingPlan, house_id: int | None) -> RingPlan:
        """Add who dials the phones of a plan that has any."""
        phones = any(target.number is not None for stage in plan.stages for target in stage.targets)
        company_id = plan.company_id
        if not phones or company_id is None:
            return plan
        database = self._context.database
        if plan.apartment_id is None:
            found = trunk_facts.trunks(database, company_id, house_id)
        else:
            limits, residents, desks, found = phone_rows.facts(
                database, company_id, plan.apartment_id, house_id, plan.issued_at_ms
            )
            plan = phone_limits.limited(plan, limits, residents, desks)
        return msgspec.structs.replace(plan, trunks=list(found))

    def _of_panel(self, known: KnownPanel, home: Home | None, asked: _Pressed) -> RingPlan:
        panel, dialled, now_ms = asked
        database, facts = self._context.database, known.facts
        meant = candidate(known.places, dialled) if dialled != ALWAYS_EMERGENCY else None
        household = (
            None if meant is None else ring_plan_facts.household(database, facts.company_id, meant, now_ms, home)
        )
        if household is not None:
            return ring_plan.household_plan(panel, dialled, now_ms, facts, household)
        if dialled == ALWAYS_EMERGENCY or (
            dialled in EMERGENCY_NUMBERS and dialled in emergency_facts.mapped_numbers(database, facts.company_id)
        ):
            dispatch = ring_plan_facts.dispatch_centre(database, facts)
            return ring_plan.emergency(panel, dialled, now_ms, facts, dispatch)
        if dialled in CONCIERGE_NUMBERS:
            houses = caller_facts.houses_of_panel(known)
            desks = ring_plan_facts.desks(database, facts.company_id, houses)
            return resident_calls.concierge_plan(Asked(panel, dialled, now_ms, facts, "panel"), desks, facts.door)
        return ring_plan.unknown_number(panel, dialled, now_ms, facts)

    def _of_caller(self, caller: KnownCaller, account: str, dialled: str, now_ms: int) -> RingPlan:
        """Answer a resident or a desk."""
        database = self._context.database
        asked = Asked(account, dialled, now_ms, caller.facts, "desk" if caller.is_desk else "resident")
        # A desk that was removed, alone or with its house, leaves an account that can register, but answers for nobody.
        has_no_desk = caller.is_desk and not caller.has_desk
        # Rings no more: a guest whose time is over.
        if not caller.account_rings or (has_no_desk and dialled not in CONCIERGE_NUMBERS):
            return resident_calls.refused(asked, "forbidden")
        if dialled in CONCIERGE_NUMBERS:
            houses = () if caller.house_id is None else (caller.house_id,)
            return resident_calls.concierge_plan(
                asked, ring_plan_facts.desks(database, caller.facts.company_id, houses)
            )
        panel = ring_plan_facts.known_panel(database, dialled)
        if panel is not None:
            return self._look(caller, asked, panel, now_ms)
        if not caller.is_desk and caller.neighbour_calls == "none":
            return resident_calls.refused(asked, "forbidden")
        for meant in caller_facts.meant_apartments(database, caller, dialled):
            household = ring_plan_facts.household(database, caller.facts.company_id, meant, now_ms)
            if household is not None:
                return resident_calls.household_from_inside(asked, household, phones=caller.is_desk)
        return resident_calls.refused(asked, "unknown_number")

    def _look(self, caller: KnownCaller, asked: Asked, panel: KnownPanel, now_ms: int) -> RingPlan:
        if not caller.has_behind(panel):
            return resident_calls.refused(asked, "unknown_number")
        may_open = True
        if caller.apartment_id is not None:
            stopped = stops(self._context.database, caller.apartment_id, now_ms)
            if stopped.calls:
                return resident_calls.refused(asked, "blocked", caller.apartment_id)
            may_open = not stopped.opening
        limit_s = caller.facts.talk_limit_s if caller.is_desk else caller.look_limit_s
        return resident_calls.look_plan(asked, asked.dialled, panel.facts.door, limit_s, may_open=may_open)
