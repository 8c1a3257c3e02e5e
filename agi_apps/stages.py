"""From a ring plan to the variables of one stage, or of a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps import phone_legs
from agi_apps.prompts import Prompt
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from agi_apps.application import Outputs
    from agi_apps.ring_plan import RingPlan, Stage, Target


# A longer display name helps no handset, and all outputs should fit one AGI command.
CALLER_NAME_LIMIT = 64


# Stages of a call that a desk has passed on are counted from here: those before were others.
PASSED_ON_FROM = 100


def ringing_targets(stage: Stage, now_ms: int) -> list[Target]:
    """Targets of a stage that ring at this moment: all that do not keep quiet hours."""
    return [target for target in stage.targets if not target.quiet or not target.is_quiet(now_ms)]


def stage_outputs(
    plan: RingPlan,
    first: int,
    now_ms: int,
    *,
    nobody: Prompt = Prompt.NOBODY_HOME,
    rang_s: int = 0,
    counted_from: int = 0,
) -> Outputs:
    """Outputs that dial the first stage from index `first` on that has targets; without one, the prompt `nobody`.

    Args:
        plan: the plan of the call.
        first: index of the first stage that may ring.
        now_ms: the moment, for quiet hours.
        nobody: what is said when none is left, or no time: all stages together have a limit.
        rang_s: seconds that the call has been ringing.
        counted_from: what the dialplan and the records count the first stage as.
    """
    left_s = plan.ring_limit_s - rang_s
    for index in range(first, len(plan.stages)):
        stage = plan.stages[index]
        targets = ringing_targets(stage, now_ms)
        if targets and left_s > 0:
            return {
                Variable.DECISION: _decision(targets),
                Variable.ACCOUNTS: ",".join([phone_legs.named(target) for target in targets]),
                **phone_legs.outputs(plan, targets, confirm=stage.confirm),
                Variable.STAGE: str(counted_from + index),
                Variable.RING_TIMEOUT_S: str(min(stage.ring_timeout_s, left_s)),
                Variable.TALK_LIMIT_MS: str(plan.talk_limit_s * 1_000),
                Variable.CALLER_NAME: plan.caller_name[:CALLER_NAME_LIMIT],
            }
    if plan.message_limit_s and plan.caller == "panel" and plan.apartment_id is not None:
        return {
            Variable.DECISION: Decision.MESSAGE,
            Variable.MESSAGE_LIMIT_S: str(plan.message_limit_s),
            Variable.PROMPT: nobody.value.sound,
        }
    return prompt_outputs(nobody)


def _decision(targets: list[Target]) -> Decision:
    """How a stage is dialled: a panel and a desk have keys that a resident has not."""
    for target in targets:
        if target.kind == "panel":
            return Decision.LOOK
        if target.kind == "concierge":
            return Decision.DESK
    return Decision.DIAL


def prompt_outputs(prompt: Prompt) -> Outputs:
    """Outputs that play a prompt to the visitor and end the call."""
    return {
        Variable.DECISION: Decision.PROMPT,
        Variable.PROMPT: prompt.value.sound,
        Variable.CAUSE: str(prompt.value.cause),
    }
