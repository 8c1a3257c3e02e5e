"""`pass_on`: a desk that talks with a visitor passes him on to an apartment, by the number pressed at that panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.application import Application, Outputs
from agi_apps.plan_lookup import NoPlan
from agi_apps.prompts import Prompt
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services

REFUSED: Outputs = {Variable.DECISION: Decision.REFUSED, Variable.PROMPT: Prompt.NOT_PASSED_ON.value.sound}
_DESK = "concierge"


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Say whether this desk may pass this visitor on to that number."""
    _call_id, panel, dialled, account, number = arguments
    try:
        now = services.plans.find(panel, dialled).plan
        desks = {target.account for stage in now.stages for target in stage.targets if target.kind == _DESK}
    except NoPlan:
        return REFUSED
    if account not in desks:
        return REFUSED
    for meant in meanings_of(number):
        try:
            wanted = services.plans.find(panel, meant).plan
        except NoPlan:
            continue
        if wanted.outcome == "ring" and wanted.caller == "panel" and wanted.apartment_id is not None:
            return {Variable.DECISION: Decision.PASS, Variable.PASSED_TO: meant}
    return REFUSED


def meanings_of(number: str) -> tuple[str, ...]:
    """Return what a number that a desk has pressed may mean at a panel, in the order to try.

    `#` ends it: at a gate that has `#` between code and apartment the desk presses `*` instead. A gate has one of both.
    """
    return tuple(dict.fromkeys((number, number.replace("*", "#")))) if number else ()


APPLICATION = Application(
    name="pass_on",
    arguments=("EP_CALL_ID", "EP_PANEL", "EP_DIALLED", "EP_ANSWERED_BY", "number"),
    run=run,
    deadline_s=2.5,
    fallback=REFUSED,
)
