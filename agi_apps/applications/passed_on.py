"""`passed_on`: a desk has passed the visitor on to another number; which stage of that rings first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.application import Application, Outputs
from agi_apps.applications import ring_all
from agi_apps.stages import PASSED_ON_FROM
from agi_apps.told_plans import plan_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Decide the first stage.

    Raises:
        NoPlan: nobody knows the number; the fallback prompt is played.
    """
    call_id, panel, dialled = arguments
    found, now_ms = services.plans.find(panel, dialled), services.now_ms()
    outputs = ring_all.decide(found, now_ms, counted_from=PASSED_ON_FROM)
    services.events.add(plan_event(call_id, found, now_ms, counted_from=PASSED_ON_FROM))
    services.pushes.wake(call_id, found.plan, outputs, now_ms)
    return outputs


APPLICATION = Application(
    name="passed_on",
    arguments=("EP_CALL_ID", "EP_PANEL", "EP_DIALLED"),
    run=run,
    deadline_s=2.5,
    fallback=ring_all.UNAVAILABLE,
)
