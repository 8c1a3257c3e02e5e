"""From a ring plan to the variables of one stage, or of a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.prompts import Prompt
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from agi_apps.application import Outputs
    from agi_apps.ring_plan import RingPlan


# A longer display name helps no handset, and all outputs should fit one AGI command.
CALLER_NAME_LIMIT = 64


def stage_outputs(plan: RingPlan, first: int, nobody: Prompt = Prompt.NOBODY_HOME) -> Outputs:
    """Outputs that dial the first stage from index `first` on that has targets; without one, the prompt `nobody`."""
    for index in range(first, len(plan.stages)):
        stage = plan.stages[index]
        if stage.targets:
            return {
                Variable.DECISION: Decision.DIAL,
                Variable.ACCOUNTS: ",".join([target.account for target in stage.targets]),
                Variable.STAGE: str(index),
                Variable.RING_TIMEOUT_S: str(stage.ring_timeout_s),
                Variable.TALK_LIMIT_MS: str(plan.talk_limit_s * 1_000),
                Variable.CALLER_NAME: plan.caller_name[:CALLER_NAME_LIMIT],
            }
    return prompt_outputs(nobody)


def language_of(language: str) -> str:
    """The language of prompts as Asterisk writes it: pt_BR."""
    return language.replace("-", "_")


def prompt_outputs(prompt: Prompt) -> Outputs:
    """Outputs that play a prompt to the visitor and end the call."""
    return {
        Variable.DECISION: Decision.PROMPT,
        Variable.PROMPT: prompt.value.sound,
        Variable.CAUSE: str(prompt.value.cause),
    }
