"""Call events (docs/contracts.md §7) and how they add up to one record, whatever their order and repetition.

Adding events is commutative and idempotent: times take the earliest, an outcome takes the furthest, anything else is
told by one event only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

BranchOutcome = Literal["invited", "ringing", "offline", "failed", "cancelled", "declined", "busy", "answered"]
HungUpBy = Literal["caller", "callee", "platform"]
PushOutcome = Literal["queued", "sent", "accepted", "refused", "failed", "cancelled"]
OUTCOME_RANK: Final[dict[str, int]] = {
    "invited": 0,
    "ringing": 1,
    "offline": 2,
    "failed": 3,
    "cancelled": 4,
    "declined": 5,
    "busy": 6,
    "answered": 7,
}
"""A branch's outcome is the furthest it got; a repeated or late event never takes it back."""
REFUSED: Final = "refused"
NOT_CONFIRMED: Final = "no"
"""A phone answered and nobody pressed the key that its plan asks for."""
LAST_UNFINISHED: Final = OUTCOME_RANK["ringing"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call event; which fields are set depends on `event`."""

    event: Literal["dialled", "branch", "stage", "refused", "door", "phone", "push", "ended", "emergency"]
    call_id: str
    at_ms: int
    panel: str | None = None
    dialled: str | None = None
    stage: int | None = None
    branch: int | str | None = None
    account: str | None = None
    contact: str | None = None
    outcome: BranchOutcome | PushOutcome | None = None
    sip_status: int | None = None
    reason: str | None = None
    door_id: int | None = None
    access_record_id: int | None = None
    key: str | None = None
    method: str | None = None
    result: str | None = None
    started_at_ms: int | None = None
    talk_ms: int | None = None
    hung_up_by: HungUpBy | None = None
    cause: int | str | None = None
    plan_source: str | None = None
    trunk: str | None = None
    phone_ms: int | None = None
    confirmed: str | None = None
    device: str | None = None
    platform: str | None = None
    step: str | None = None
    detail: str | None = None
    number: str | None = None
    number_source: str | None = None
    city_id: int | None = None
    direction: Literal["out", "back"] | None = None


BranchKey = tuple[int, str, str]
"""Stage, account, branch ('' for an account without contact)."""


@dataclass
class Branch:
    """One branch: how far it got, and when."""

    outcome: str
    sip_status: int | None
    contact: str | None
    invited_at_ms: int | None = None
    ringing_at_ms: int | None = None
    ended_at_ms: int | None = None


@dataclass
class Call:
    """What the events of one call add up to. `ended_at_ms` stays None while nobody has said that it ended."""

    call_id: str
    started_at_ms: int
    panel: str | None = None
    dialled: str | None = None
    ended_at_ms: int | None = None
    talk_ms: int | None = None
    answered_by: str | None = None
    result: str | None = None
    reason: str | None = None
    cause: int | None = None
    plan_source: str | None = None
    answered_at_ms: int | None = None
    branches: dict[BranchKey, Branch] = field(default_factory=dict)
    doors: list[Event] = field(default_factory=list)
    phones: list[Event] = field(default_factory=list)
    story: list[bytes] = field(default_factory=list)
    """Every event, a line of JSON without the Call-ID."""


def add(calls: dict[str, Call], event: Event) -> None:
    """Add one event to the call that it belongs to."""
    call = calls.get(event.call_id)
    if call is None:
        call = calls[event.call_id] = Call(event.call_id, event.at_ms)
    elif event.at_ms < call.started_at_ms:
        call.started_at_ms = event.at_ms
    call.story.append(line_of(event))
    if event.event == "branch":
        _add_branch(call, event)
        return
    call.panel = call.panel or event.panel
    call.dialled = call.dialled or event.dialled
    if event.event == "ended":
        call.started_at_ms = min(call.started_at_ms, event.started_at_ms or event.at_ms)
        call.ended_at_ms = _earliest(call.ended_at_ms, event.at_ms)
        call.talk_ms = call.talk_ms if event.talk_ms is None else event.talk_ms
        call.result = event.result or call.result
        call.cause = call.cause if event.cause is None else _number(event.cause)
        call.plan_source = event.plan_source or call.plan_source
        call.reason = call.reason or event.reason
    elif event.event == "refused":
        call.ended_at_ms = _earliest(call.ended_at_ms, event.at_ms)
        call.reason = event.reason
        call.result = call.result or REFUSED
        call.cause = call.cause or event.sip_status
    elif event.event == "emergency":
        call.answered_by = (event.detail or "").partition(" ")[0] or None  # the line of the dispatch centre
    elif event.event == "door":
        call.doors.append(event)
    elif event.event == "phone":
        call.phones.append(event)
        answered_at_ms = event.at_ms - (event.phone_ms or 0)
        if event.confirmed != NOT_CONFIRMED and (call.answered_at_ms is None or answered_at_ms < call.answered_at_ms):
            call.answered_at_ms, call.answered_by = answered_at_ms, event.account


_encoder = msgspec.json.Encoder()
_NO_CALL_ID: Final = b'"call_id":"",'


def line_of(event: Event) -> bytes:
    """Return what is kept of an event in the story of its call."""
    return _encoder.encode(msgspec.structs.replace(event, call_id="")).replace(_NO_CALL_ID, b"", 1)


def story_of(lines: str | None) -> list[dict[str, Any]]:
    """Return the story in order; an event that was delivered twice is told once."""
    events = [msgspec.json.decode(line) for line in dict.fromkeys((lines or "").splitlines())]
    return sorted(events, key=lambda event: event["at_ms"])


def billed(phone_ms: int, step_s: int, price_per_minute_micros: int) -> tuple[int, int]:
    """Return the seconds that a carrier charges for, and their price in millionths of its currency, rounded up."""
    seconds = -(-phone_ms // (step_s * 1000)) * step_s
    return seconds, -(-seconds * price_per_minute_micros // 60)


def _add_branch(call: Call, event: Event) -> None:
    key = (event.stage or 0, event.account or "", "" if event.branch is None else str(event.branch))
    outcome = event.outcome or "invited"
    call.plan_source = call.plan_source or event.plan_source
    # A phone may be an answering machine: its own event tells at the end whether anybody was connected.
    if (
        outcome == "answered"
        and event.trunk is None
        and (call.answered_at_ms is None or event.at_ms < call.answered_at_ms)
    ):
        call.answered_at_ms, call.answered_by = event.at_ms, event.account
    branch = call.branches.get(key)
    if branch is None:
        branch = call.branches[key] = Branch(outcome, event.sip_status, event.contact)
    elif OUTCOME_RANK[outcome] > OUTCOME_RANK[branch.outcome]:
        branch.outcome = outcome
        branch.sip_status = event.sip_status or branch.sip_status
    branch.contact = branch.contact or event.contact
    if outcome == "invited":
        branch.invited_at_ms = _earliest(branch.invited_at_ms, event.at_ms)
    elif outcome == "ringing":
        branch.ringing_at_ms = _earliest(branch.ringing_at_ms, event.at_ms)
    else:
        branch.ended_at_ms = _earliest(branch.ended_at_ms, event.at_ms)


def _earliest(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)


def _number(cause: int | str | None) -> int | None:
    """Return the Q.850 cause; the dialplan knows it as text, and as an empty text when there is none."""
    try:
        return None if cause is None else int(cause)
    except ValueError:
        return None
