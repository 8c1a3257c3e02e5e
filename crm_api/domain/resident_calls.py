"""Plans of calls that no panel makes, and of the panel's concierge button: desks, neighbours, a look through a panel.

A resident reaches the desks on duty, a neighbour by apartment number where the company allows it, and the panels of his
own doors; a desk reaches every apartment and panel that it answers for. An account of kind concierge without a desk
reaches the desks alone. Nobody here is ever put through to a phone, except to a desk that is one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from crm_api.domain.ring_plan import (
    MAX_ACCOUNTS_PER_STAGE,
    Caller,
    CallerFacts,
    Desks,
    Door,
    Household,
    Outcome,
    RingPlan,
    Stage,
    Target,
    by_reason,
    stages_of,
)

PANEL_RING_TIMEOUT_S: Final = 15
"""A panel answers by itself, at once, or is busy."""


@dataclass(frozen=True)
class Asked:
    """Who dialled what, and when it was asked."""

    account: str
    dialled: str
    issued_at_ms: int
    facts: CallerFacts
    caller: Caller


def concierge_plan(asked: Asked, desks: Desks, door: Door | None = None) -> RingPlan:
    """Answer for the concierge: desks of one priority ring together, those of the next one after them.

    At a panel (`door`) a desk opens as a resident does.
    """
    left_out = {desk.account: desk.unfit for desk in desks.unfit if desk.account != asked.account}
    stages = []
    for members in desks.ringing:
        targets = [
            Target(m.account, m.kind, door is not None, m.number, wakes=m.wakes)
            for m in members
            if m.account != asked.account
        ]
        left_out.update((target.account, "too_many") for target in targets[MAX_ACCOUNTS_PER_STAGE:])
        if targets:
            stages.append(Stage(asked.facts.ring_timeout_s, targets[:MAX_ACCOUNTS_PER_STAGE]))
    return msgspec.structs.replace(_plan(asked, "ring", stages=stages, door=door), left_out=by_reason(left_out))


def household_from_inside(asked: Asked, household: Household, *, phones: bool) -> RingPlan:
    """Answer for an apartment that a neighbour or a desk calls: it rings as ever, and no door is behind the call.

    Args:
        asked: who calls.
        household: the apartment called.
        phones: whether its phones ring, too; never for a neighbour.
    """
    if household.stops_calls:
        return _plan(asked, "blocked", apartment_id=household.apartment_id)
    members = tuple(m for m in household.members if m.account != asked.account and (phones or m.kind != "phone"))
    here = replace(household, members=members, stops_opening=True)
    planned, left_out = stages_of(here, asked.facts.ring_timeout_s)
    left_out.update((m.account, "not_for_neighbours") for m in household.members if m.kind == "phone" and not phones)
    stages = []
    for stage in planned:
        targets = []
        for target in stage.targets:
            if target.kind == "phone" and not phones:
                left_out[target.account] = "not_for_neighbours"
            elif target.account != asked.account:
                targets.append(target)
        if targets:
            stages.append(msgspec.structs.replace(stage, targets=targets))
    left_out.pop(asked.account, None)
    plan = _plan(asked, "ring", apartment_id=household.apartment_id, stages=stages)
    return msgspec.structs.replace(plan, left_out=by_reason(left_out))


def look_plan(asked: Asked, panel: str, door: Door | None, limit_s: int, *, may_open: bool) -> RingPlan:
    """Answer for a panel that is called: the caller sees and hears who is there, and opens with the same key.

    The panel's keypad is stuck meanwhile, so this has a limit of its own.
    """
    stages = [Stage(PANEL_RING_TIMEOUT_S, [Target(panel, "panel", may_open=False)])]
    short = replace(asked, facts=replace(asked.facts, talk_limit_s=limit_s))
    return _plan(short, "ring", stages=stages, door=door, caller_may_open=may_open and door is not None)


def refused(asked: Asked, outcome: Outcome, apartment_id: int | None = None) -> RingPlan:
    """Answer for what may not be called (`forbidden`), is `blocked`, or does not exist (`unknown_number`)."""
    return _plan(asked, outcome, apartment_id=apartment_id)


def _plan(
    asked: Asked,
    outcome: Outcome,
    *,
    apartment_id: int | None = None,
    stages: list[Stage] | None = None,
    door: Door | None = None,
    caller_may_open: bool = False,
) -> RingPlan:
    facts = asked.facts
    return RingPlan(
        panel=asked.account,
        dialled=asked.dialled,
        issued_at_ms=asked.issued_at_ms,
        outcome=outcome,
        apartment_id=apartment_id,
        company_id=facts.company_id,
        caller_name=facts.caller_name,
        language=facts.language,
        talk_limit_s=facts.talk_limit_s,
        ring_limit_s=facts.ring_limit_s,
        stages=stages or [],
        door=door,
        caller=asked.caller,
        caller_may_open=caller_may_open,
    )
