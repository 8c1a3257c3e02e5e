"""Why did this phone not ring? One sentence from the record of a call: by its branches, then by the plan it went by.

The records of older releases have no plan (`crm_api.domain.told_plan`): of these the account as it is now has to tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain import told_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.told_plan import ToldPlan

_ENDS: Final = {
    "blocked": "calls to this apartment were blocked",
    "unknown_number": "the number dialled meant no apartment at this panel",
    "forbidden": "the company does not allow this call",
    "emergency": "an emergency number was dialled",
    "code_accepted": "an access code was typed",
    "code_refused": "an access code was typed",
    "code_locked": "an access code was typed",
    "failed": "the call failed before anybody was rung",
    "refused": "the call was refused before anybody was rung",
}
_WHILE: Final = {
    "caller_hung_up": "the visitor hung up",
    "answered": "somebody else answered",
    "no_answer": "nobody answered",
    "busy": "everybody was busy",
}


@dataclass(frozen=True)
class AccountFacts:
    """What is known of the account now; None where there is none of this name.

    `quiet`: by the hours that it keeps now it was quiet when the call began. `created_at_ms`: None when nobody knows.
    """

    enabled: bool
    kind: str
    apartment_id: int | None
    quiet: bool = False
    created_at_ms: int | None = None


@dataclass(frozen=True)
class Answer:
    """The sentence, and whether the phone did ring."""

    rang: bool
    sentence: str


def why(call: dict[str, Any], account: str, facts: AccountFacts | None) -> Answer:
    """Say what became of one account in a call (the document of `GET /v1/calls/{id}`)."""
    branches = [branch for branch in call["branches"] if branch["account"] == account]
    pushes = [line for line in call["story"] if line["event"] == "push" and line.get("account") == account]
    start_ms = call["started_at_ms"]
    rang = [branch for branch in branches if branch["ringing_at_ms"] is not None or branch["outcome"] == "answered"]
    if rang:
        return Answer(True, f"{account} did ring, {_after(rang[0], start_ms)}: {_end(rang[-1], call)}.")
    reached = [branch for branch in branches if branch["contact"] is not None]
    if reached:
        return Answer(False, f"{account} {_not_rung(reached[-1], call)}.")
    plans = told_plan.plans_of(call["story"])
    if branches and not any(plan.why_left_out(account) == told_plan.NO_TRUNK for plan in plans):
        return Answer(False, f"{account} was to ring, but {_offline(branches[-1], pushes)}.")
    if account == call.get("panel"):
        not_called = "it made this call"
    else:
        not_called = _by_plan(plans, call, account, facts) if plans else _not_called(call, facts)
    return Answer(False, f"{account} was not called: {not_called}.")


def _after(branch: dict[str, Any], start_ms: int) -> str:
    at_ms = branch["ringing_at_ms"] or branch["ended_at_ms"]
    return f"{max(0, at_ms - start_ms) / 1000:.1f} s after the call began" if at_ms is not None else "at some moment"


def _end(branch: dict[str, Any], call: dict[str, Any]) -> str:
    return {
        "answered": "it answered",
        "busy": "it was busy",
        "declined": "it declined",
        "cancelled": f"it stopped because {_stopped(call)}",
        "ringing": "it did not say what became of it",
        "offline": "then it was gone from the network",
    }.get(branch["outcome"], f"then it failed with SIP status {branch['sip_status']}")


def _stopped(call: dict[str, Any]) -> str:
    if call["answered_by"]:
        return f"{call['answered_by']} answered"
    return _WHILE.get(call["result"] or "", "its time was over")


def _not_rung(branch: dict[str, Any], call: dict[str, Any]) -> str:
    where = branch["contact"]
    if branch.get("sip_status") is None and branch["outcome"] in {"invited", "offline", "failed"}:
        return f"was called at {where}, which never replied: the device is registered there and cannot be reached"
    if branch["outcome"] == "cancelled":
        return f"was called at {where} and had not begun to ring when {_stopped(call)}"
    said = {"busy": "busy", "declined": "declined", "offline": "not there"}.get(branch["outcome"], "failed")
    return f"was called at {where}, which answered at once: {said} (SIP status {branch['sip_status']})"


def _offline(branch: dict[str, Any], pushes: Sequence[dict[str, Any]]) -> str:
    if branch["outcome"] == "failed":
        return "no trunk could dial it"
    nobody = "no device of it was registered"
    told = [push for push in pushes if push["outcome"] in {"accepted", "refused", "failed"}]
    if not told:
        return f"{nobody}, and none has a push token that could wake it" if not pushes else f"{nobody} in time"
    last = told[-1]
    if any(push["outcome"] == "accepted" for push in told):
        return f"{nobody}; a push was taken by {last['platform']}, but no device woke and registered in time"
    return (
        f"{nobody}, and the push was {last['outcome']} by {last['platform']}: {last.get('reason') or 'no reason given'}"
    )


def _by_plan(plans: Sequence[ToldPlan], call: dict[str, Any], account: str, facts: AccountFacts | None) -> str:
    """Say why it was not called, by what the plans of this call told at the time."""
    for plan in reversed(plans):
        stage = plan.stage_of(account)
        if stage is not None:
            return _turn(plan, stage, call)
        left_out = plan.left_out_sentence(account)
        if left_out is not None:
            return left_out
    return _unnamed(call, facts) if plans[-1].outcome == "ring" else _ENDS.get(plans[-1].outcome, "nobody was rung")


def _unnamed(call: dict[str, Any], facts: AccountFacts | None) -> str:
    """Say of an account that the plan neither rings nor leaves out what it is; now, as nobody told it then."""
    if facts is None:
        return "there is no account of this name"
    if facts.apartment_id is not None and facts.apartment_id != call["apartment_id"]:
        return "it belongs to another apartment"
    if facts.created_at_ms is not None and facts.created_at_ms > call["started_at_ms"]:
        return "it was made after this call"
    return "the ring plan of this call did not name it"


def _turn(plan: ToldPlan, stage: int, call: dict[str, Any]) -> str:
    """Say why a stage of the plan did not ring an account that it names."""
    turn = f"its turn, stage {stage + 1}, did not come"
    begun = plan.begun(call)
    if not begun:
        early = {"caller_hung_up": "the visitor hung up", "failed": "the call failed"}.get(call["result"] or "")
        return f"{turn}: nobody was rung in this call" if early is None else f"{early} before anybody was rung"
    last = max(begun)
    if last >= stage:
        now = "its quiet hours had begun, the plan was another by then, or the call was over"
        return f"it was to ring in stage {stage + 1}, and was not called when that began: {now}"
    if call["result"] in {"answered", "caller_hung_up"}:
        return f"{turn}, as {_stopped(call)} in stage {last + 1}"
    if plan.stops_after(last, call["story"]):
        return f"{turn}, as all of stage {last + 1} refused and the plan ends there"
    if call["result"] == "no_answer":
        return f"{turn}, as the call had rung for the {plan.ring_limit_s} s that it may"
    return f"{turn}, as the call ended in stage {last + 1}"


def _not_called(call: dict[str, Any], facts: AccountFacts | None) -> str:
    if call["result"] in _ENDS:
        return _ENDS[call["result"]]
    unfit = _unfit(call, facts)
    if unfit:
        return unfit
    rung = [branch["stage"] for branch in call["branches"]]
    if not rung:
        return "nobody was rung in this call"
    if call["result"] in {"answered", "caller_hung_up"}:
        return f"its turn did not come, as {_stopped(call)} in stage {max(rung) + 1}"
    return "the ring plan of the apartment does not name it"


def _unfit(call: dict[str, Any], facts: AccountFacts | None) -> str:
    """Say what is wrong with the account itself; empty when nothing is."""
    if facts is None:
        return "there is no account of this name"
    if facts.apartment_id is not None and facts.apartment_id != call["apartment_id"]:
        return "it belongs to another apartment"
    if facts.quiet:
        return "it keeps quiet hours at that time of day"
    return "" if facts.enabled else "it is switched off"
