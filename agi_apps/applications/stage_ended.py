"""`stage_ended`: a stage rang and nobody talks; the next stage, or the prompt that ends the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.application import Application, Outputs
from agi_apps.prompts import Prompt
from agi_apps.stages import PASSED_ON_FROM, prompt_outputs, stage_outputs
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services
    from agi_apps.ring_plan import RingPlan

_FAILED = frozenset({"CHANUNAVAIL", "CONGESTION"})
# Q.850 causes of a proxy or a network that failed, as opposed to residents who did not pick up.
_FAILURE_CAUSES = frozenset({"27", "34", "38", "41", "42", "58"})

# Q.850: 603 of a resident who declined; Dial counts it with those who could not be reached. It is of the leg that
# ended last: with a phone beside it that nobody has answered, it is not the word of all.
_REJECTED = "21"
_NOT_ANSWERED = "NOANSWER"
_RESULTS = {_NOT_ANSWERED: "no_answer", "BUSY": "busy"}


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Judge a stage.

    Raises:
        NoPlan: the plan of the call is not to be had any more.
        ValueError: the stage is no number.
    """
    call_id, panel, dialled, stage, dial_status, hangup_cause, started_at = arguments
    if dial_status == "ANSWER":
        return {Variable.DECISION: Decision.HANGUP, Variable.CAUSE: "16"}
    plan = services.plans.find(panel, dialled).plan
    if plan.outcome in {"blocked", "unknown_number", "forbidden"}:  # changed while it rang
        return prompt_outputs(Prompt.NOBODY_HOME)
    counted_from, index = divmod(int(stage), PASSED_ON_FROM)
    counted_from *= PASSED_ON_FROM
    why = _why(dial_status, hangup_cause)
    now_ms = services.now_ms()
    declined = hangup_cause == _REJECTED and dial_status != _NOT_ANSWERED
    services.events.add({
        "event": "stage", "call_id": call_id, "at_ms": now_ms, "stage": int(stage),
        "result": "declined" if declined else _RESULTS.get(dial_status, "failed"),
    })  # fmt: skip
    if (declined or dial_status == "BUSY") and index < len(plan.stages) and plan.stages[index].on_refusal == "stop":
        return prompt_outputs(why)
    rang_s = _rang_s(plan, index, now_ms, started_at)
    outputs = stage_outputs(plan, index + 1, now_ms, nobody=why, rang_s=rang_s, counted_from=counted_from)
    services.pushes.wake(call_id, plan, outputs, now_ms)
    return outputs


def _rang_s(plan: RingPlan, index: int, now_ms: int, started_at: str) -> int:
    """How long the call has been ringing when the stage at `index` of its plan ends.

    The node has noted the beginning and the clock here is another: stages ring no longer than the plan lets them. Those
    before a desk passed the call on are not counted, as the dialplan notes a beginning anew.
    """
    if not started_at.isdigit():
        return 0
    longest_s = sum(stage.ring_timeout_s for stage in plan.stages[: index + 1])
    return max(0, min((now_ms - int(started_at)) // 1_000, longest_s))


def _why(dial_status: str, hangup_cause: str) -> Prompt:
    if dial_status == "BUSY":
        return Prompt.BUSY
    if dial_status in _FAILED and hangup_cause in _FAILURE_CAUSES:
        return Prompt.SERVICE_UNAVAILABLE
    return Prompt.NOBODY_HOME


APPLICATION = Application(
    name="stage_ended",
    arguments=(
        "EP_CALL_ID", "EP_PANEL", "EP_DIALLED", "EP_STAGE", "DIALSTATUS", "HANGUPCAUSE", "EP_STARTED_AT_MS",
    ),
    run=run,
    deadline_s=2.5,
    fallback=prompt_outputs(Prompt.NOBODY_HOME),
)  # fmt: skip
