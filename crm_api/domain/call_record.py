"""Call events (docs/contracts.md §7) and how they add up to one record, whatever their order and repetition.

Adding events is commutative and idempotent: times take the earliest, an outcome takes the furthest, of several ends the
first counts that is told by whoever had the call last (`Ending`), anything else is told by one event only. What the
database has already is added to in the same way (`crm_api/tables/call_record_rows.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import msgspec

from crm_api.domain.ring_plan import OnRefusal, Outcome  # noqa: TC001 - msgspec reads the annotations

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
OPEN: Final = 2
"""Rank of the `Ending` of a call that goes on."""
UNTOLD: Final = "failed"
"""An end without a result, which nobody tells by contract."""
NO_MEDIA: Final = "no media for 30 s"
"""A reason that only the second word about an end may know (`kemi_routes.talks`); its cause is Q.850's 44."""
NO_MEDIA_CAUSE: Final = 44
NOT_CONFIRMED: Final = "no"
"""A phone answered and nobody pressed the key that its plan asks for."""
PASSED_ON_FROM: Final = 100
"""Stages from here on are of the number that a desk has passed the call on to (docs/contracts.md §3)."""
LAST_UNFINISHED: Final = OUTCOME_RANK["ringing"]
NEVER: Final = 2**63 - 1
"""Later than any moment: when a call ends that goes on."""


class ToldStage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stage of the plan that a call went by: who was to ring in it."""

    ring_timeout_s: int
    accounts: list[str]
    on_refusal: OnRefusal = "next"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call event; which fields are set depends on `event`."""

    event: Literal[
        "dialled", "plan", "branch", "stage", "refused", "door", "phone", "push", "ended", "emergency", "moved"
    ]
    call_id: str
    at_ms: int
    panel: str | None = None
    dialled: str | None = None
    stage: int | None = None
    branch: int | str | None = None
    account: str | None = None
    contact: str | None = None
    outcome: BranchOutcome | PushOutcome | Outcome | None = None
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
    moves: int = 0
    plan_source: str | None = None
    trunk: str | None = None
    phone_ms: int | None = None
    connected_ms: int | None = None
    confirmed: str | None = None
    device: str | None = None
    platform: str | None = None
    step: str | None = None
    detail: str | None = None
    number: str | None = None
    number_source: str | None = None
    city_id: int | None = None
    direction: Literal["out", "back"] | None = None
    issued_at_ms: int | None = None
    ring_limit_s: int | None = None
    stages: list[ToldStage] | None = None
    left_out: dict[str, list[str]] | None = None
    apartment_id: int | None = None


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


class Ending(NamedTuple):
    """How a call ended, by one event; of several the least counts, which is the first by the clock of who told it.

    Before all else counts who had the call last: a node that dies, is stopped or stands still may tell an end of what
    goes on through another. `moves` is how often the call had moved by then; that it has moved is itself an `Ending`
    that says nothing yet, and comes before whatever the nodes before have told, and after what the new one tells.

    `rank` is 0 by `ended`, 1 by `refused` (a call that has ended was not refused after all), 2 by `moved`. At one
    moment the words decide, so that it is the same whichever came first; no cause comes after any.

    Apart from it, as one end may be told in two words of which each knows something: of the talks that are told after
    as many moves the longest counts (who has not counted says 0 or nothing), and of their reasons lack of media, whose
    cause is the call's then, else the first by the alphabet.
    """

    moves_negative: int
    rank: int
    at_ms: int
    result: str
    no_cause: bool
    cause: int

    @classmethod
    def of(cls, rank: int, event: Event, result: str, cause: int | None) -> Ending:
        """Return it in the order in which it compares."""
        return cls(-event.moves, rank, event.at_ms, result, cause is None, cause or 0)

    @classmethod
    def open(cls, moves: int) -> Ending:
        """Return that of a call that has moved so often and goes on."""
        return cls(-moves, OPEN, NEVER, "", True, 0)


@dataclass
class Call:
    """What the events of one call add up to. `ended_at_ms` stays None while nobody has said that it ended."""

    call_id: str
    started_at_ms: int
    panel: str | None = None
    dialled: str | None = None
    dialled_late: bool = False
    """The number is told by what may also follow a passing on: it counts while nobody has told the first one."""
    passed_to: set[int] = field(default_factory=set)
    """Apartments that it rang although no panel has dialled them: it was passed on there, or comes from inside."""
    ending: Ending | None = None
    talk_ms: int | None = None
    answered_by: str | None = None
    reason: str | None = None
    plan_source: str | None = None
    answered_at_ms: int | None = None
    branches: dict[BranchKey, Branch] = field(default_factory=dict)
    doors: list[Event] = field(default_factory=list)
    phones: list[Event] = field(default_factory=list)
    story: list[bytes] = field(default_factory=list)
    """Every event, a line of JSON without the Call-ID."""

    @property
    def ended_at_ms(self) -> int | None:
        """When it ended."""
        return None if self.ending is None or self.ending.rank == OPEN else self.ending.at_ms

    @property
    def result(self) -> str | None:
        """How it ended."""
        return None if self.ending is None or self.ending.rank == OPEN else self.ending.result

    @property
    def moves(self) -> int:
        """How often it had moved to another node when whoever counts told how it ended."""
        return 0 if self.ending is None else -self.ending.moves_negative

    @property
    def cause(self) -> int | None:
        """Of Q.850; of a refused call the SIP status."""
        if self.reason == NO_MEDIA:
            return NO_MEDIA_CAUSE
        return None if self.ending is None or self.ending.no_cause else self.ending.cause


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
    elif event.event == "plan":  # whose number is not the call's where a desk has passed that on
        if event.apartment_id is not None:
            call.passed_to.add(event.apartment_id)
    elif event.event == "door":  # of the number that rang then, and of the panel of the door, who may be called
        call.doors.append(event)
    else:
        _add_told(call, event)


def _add_told(call: Call, event: Event) -> None:
    call.panel = call.panel or event.panel
    if event.dialled is not None:
        _add_number(call, event.dialled, late=_may_follow_a_passing_on(event))
    if event.event in ("ended", "refused", "moved"):
        _end(call, event)
    elif event.event == "emergency":
        call.answered_by = (event.detail or "").partition(" ")[0] or None  # the line of the dispatch centre
    elif event.event == "phone":
        call.phones.append(event)
        # A key makes the answer, where one is asked for: until then others ring, and may answer.
        talked_ms = event.phone_ms if event.connected_ms is None else event.connected_ms
        if event.confirmed != NOT_CONFIRMED:
            _answer(call, event.at_ms - (talked_ms or 0), event.account)
            # Its own leg alone knows; a node that the call has left knows nothing of why it is over.
            if event.cause == NO_MEDIA_CAUSE and event.moves >= call.moves:
                call.reason = NO_MEDIA


def _may_follow_a_passing_on(event: Event) -> bool:
    return event.event == "ended" or (event.event == "phone" and (event.stage or 0) >= PASSED_ON_FROM)


def _add_number(call: Call, number: str, *, late: bool) -> None:
    """The number that was dialled first is the call's; of two late ones (the first was lost) the same in any order."""
    if call.dialled is None or (late, number) < (call.dialled_late, call.dialled):
        call.dialled_late, call.dialled = late, number


def _answer(call: Call, at_ms: int, account: str | None) -> None:
    """Whoever was first has answered."""
    before = call.answered_at_ms
    if before is None or (at_ms, account or "") < (before, call.answered_by or ""):
        call.answered_at_ms, call.answered_by = at_ms, account


def _end(call: Call, event: Event) -> None:
    moves = call.moves
    if event.moves > moves:  # the node before knew neither how long they talked nor why it is over
        call.talk_ms = call.reason = None
    if event.event == "moved":  # why it has moved is in its story
        ending = Ending.open(event.moves)
        call.ending = ending if call.ending is None else min(call.ending, ending)
        return
    if event.event == "ended":
        call.started_at_ms = min(call.started_at_ms, event.started_at_ms or event.at_ms)
        call.plan_source = call.plan_source or event.plan_source
        ending = Ending.of(0, event, event.result or UNTOLD, _number(event.cause))
    else:
        ending = Ending.of(1, event, REFUSED, event.sip_status)
    call.ending = ending if call.ending is None else min(call.ending, ending)
    if event.moves < moves:
        return
    if event.talk_ms is not None:
        call.talk_ms = max(call.talk_ms or 0, event.talk_ms)
    reasons = {reason for reason in (call.reason, event.reason) if reason}
    call.reason = NO_MEDIA if NO_MEDIA in reasons else min(reasons, default=None)


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
    """Return the seconds that a carrier charges for, and their price in millionths of its currency, rounded up.

    Every step that has begun is charged, and the first begins with the answer: of somebody who hung up at once, too.
    """
    seconds = -(-max(phone_ms, 1) // (step_s * 1000)) * step_s
    return seconds, -(-seconds * price_per_minute_micros // 60)


def _add_branch(call: Call, event: Event) -> None:
    key = (event.stage or 0, event.account or "", "" if event.branch is None else str(event.branch))
    outcome = event.outcome or "invited"
    call.plan_source = call.plan_source or event.plan_source
    # A phone may be an answering machine: its own event tells at the end whether anybody was connected.
    if outcome == "answered" and event.trunk is None:
        _answer(call, event.at_ms, event.account)
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
