"""`stage_ended`: a stage rang and nobody talks; the next stage, or the prompt that ends the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.application import Application, Outputs
from agi_apps.prompts import Prompt
from agi_apps.stages import prompt_outputs, stage_outputs
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services

_FAILED = frozenset({"CHANUNAVAIL", "CONGESTION"})
# Q.850 causes of a proxy or a network that failed, as opposed to residents who did not pick up.
_FAILURE_CAUSES = frozenset({"27", "34", "38", "41", "42", "58"})


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Judge a stage.

    Raises:
        NoPlan: the plan of the call is not to be had any more.
        ValueError: the stage is no number.
    """
    _call_id, panel, dialled, stage, dial_status, hangup_cause = arguments
    if dial_status == "ANSWER":
        return {Variable.DECISION: Decision.HANGUP, Variable.CAUSE: "16"}
    plan = services.plans.find(panel, dialled).plan
    if plan.outcome in {"blocked", "unknown_number"}:  # changed while it rang
        return prompt_outputs(Prompt.NOBODY_HOME)
    return stage_outputs(plan, int(stage) + 1, nobody=_why(dial_status, hangup_cause))


def _why(dial_status: str, hangup_cause: str) -> Prompt:
    if dial_status == "BUSY":
        return Prompt.BUSY
    if dial_status in _FAILED and hangup_cause in _FAILURE_CAUSES:
        return Prompt.SERVICE_UNAVAILABLE
    return Prompt.NOBODY_HOME


APPLICATION = Application(
    name="stage_ended",
    arguments=("EP_CALL_ID", "EP_PANEL", "EP_DIALLED", "EP_STAGE", "DIALSTATUS", "HANGUPCAUSE"),
    run=run,
    deadline_s=2.5,
    fallback=prompt_outputs(Prompt.NOBODY_HOME),
)
