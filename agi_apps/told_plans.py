"""Tells what a call was planned to do: the event `plan` of its story (docs/contracts.md, 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.phone_legs import PHONE

if TYPE_CHECKING:
    from agi_apps.call_events import EventValue
    from agi_apps.plan_lookup import FoundPlan

QUIET, NO_TRUNK = "quiet_hours", "no_trunk"


def plan_event(call_id: str, found: FoundPlan, now_ms: int, counted_from: int = 0) -> dict[str, EventValue]:
    """Who is to ring by the plan that a call goes by, who is not and why: as it stands at the call's beginning.

    Args:
        call_id: of the call.
        found: its plan.
        now_ms: the moment, for quiet hours. A later stage looks again when it begins.
        counted_from: what the dialplan and the records count the first stage as.
    """
    plan = found.plan
    left_out = {why: list(accounts) for why, accounts in plan.left_out.items()}
    stages = []
    for stage in plan.stages:
        accounts = []
        for target in stage.targets:
            if target.quiet and target.is_quiet(now_ms):
                left_out.setdefault(QUIET, []).append(target.account)
            elif target.kind == PHONE and not plan.trunks:
                left_out.setdefault(NO_TRUNK, []).append(target.account)
            else:
                accounts.append(target.account)
        told: dict[str, EventValue] = {"ring_timeout_s": stage.ring_timeout_s, "accounts": accounts}
        if stage.on_refusal == "stop":
            told["on_refusal"] = "stop"
        stages.append(told)
    event: dict[str, EventValue] = {
        "event": "plan",
        "call_id": call_id,
        "at_ms": now_ms,
        "outcome": plan.outcome,
        "plan_source": found.source,
        "issued_at_ms": plan.issued_at_ms,
        "stage": counted_from,
    }
    if counted_from:
        event["dialled"] = plan.dialled
    if plan.apartment_id is not None and (counted_from or plan.caller != "panel"):
        event["apartment_id"] = plan.apartment_id  # that of a panel's call the number tells
    if stages:
        event |= {"ring_limit_s": plan.ring_limit_s, "stages": stages}
    if left_out:
        event["left_out"] = left_out
    return event
