"""`ring_all`: a panel has dialled; which stage rings first, or what the visitor is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.application import Application, Outputs
from agi_apps.prompts import Prompt, language_of
from agi_apps.stages import prompt_outputs, stage_outputs
from agi_apps.told_plans import plan_event
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services
    from agi_apps.plan_lookup import FoundPlan

UNAVAILABLE = prompt_outputs(Prompt.SERVICE_UNAVAILABLE)


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Decide the first stage of a call.

    Raises:
        NoPlan: nobody knows the number; the fallback prompt is played.
    """
    call_id, panel, dialled = arguments
    found, now_ms = services.plans.find(panel, dialled), services.now_ms()
    outputs = decide(found, now_ms)
    services.events.add(plan_event(call_id, found, now_ms))
    services.pushes.wake(call_id, found.plan, outputs, now_ms)
    return outputs


def decide(found: FoundPlan, now_ms: int, counted_from: int = 0) -> Outputs:
    """Outputs for a plan. An emergency call that Kamailio did not recognise takes the way of the others."""
    plan = found.plan
    if plan.outcome == "blocked":
        outputs = prompt_outputs(Prompt.BLOCKED)
    elif plan.outcome == "emergency":
        outputs = {Variable.DECISION: Decision.EMERGENCY}
    elif plan.outcome == "unknown_number":
        outputs = prompt_outputs(Prompt.UNKNOWN_NUMBER)
    elif plan.outcome == "forbidden":
        outputs = prompt_outputs(Prompt.FORBIDDEN)
    else:
        outputs = stage_outputs(plan, 0, now_ms, counted_from=counted_from)
        if plan.records and outputs[Variable.DECISION] in Decision.rings():
            outputs[Variable.THEN] = outputs[Variable.DECISION]
            outputs[Variable.DECISION] = Decision.RECORD
    outputs[Variable.LANGUAGE] = language_of(plan.language)
    outputs[Variable.PLAN_SOURCE] = found.source
    return outputs


APPLICATION = Application(
    name="ring_all",
    arguments=("EP_CALL_ID", "EP_PANEL", "EP_DIALLED"),
    run=run,
    deadline_s=2.5,
    fallback=UNAVAILABLE,
)
