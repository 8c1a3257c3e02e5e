"""The story of each call: events that SIP workers queue for streams.py to ship (docs/contracts.md, section 7).

An item of the queue is one JSON object, or several with commas between them.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import moves
from kemi_routes.clock import now_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from KSR import Ksr

QUEUE = "story"
MOVED = '{"event":"moved"'
PANEL_CALLED = '{"event":"panel_called"'
HUNG_UP = '{"event":"emergency","step":"hung_up"'
# Who hung up; the platform does when the time is over, or one side sends no media any more.
CALLER, CALLEE, PLATFORM = "caller", "callee", "platform"
NORMAL, STOPPED = 16, 44
_TRUNK = ',"trunk":'
_FINAL = 200
_NEGATIVE = 300


class End(NamedTuple):
    """The end of a call: `answered`, or `caller_hung_up` in the moment of the answer.

    What is None has been told already; `cause` is one of Q.850. The records need the panel and the number to know whose
    call it was.
    """

    call_id: str
    result: str
    talk_ms: int | None = None
    reason: str | None = None
    panel: str | None = None
    dialled: str | None = None
    hung_up_by: str | None = None
    cause: int = NORMAL


def dialled(ksr: Ksr, call_id: str, panel: str, number: str) -> None:
    """A panel's call is on its way to Asterisk."""
    ksr.mqueue.mq_add(
        QUEUE,
        call_id,
        f'{{"event":"dialled","call_id":{quoted(call_id)},"at_ms":{now_ms()},'
        f'"panel":{quoted(panel)},"dialled":{quoted(number)}}}',
    )


def moved(ksr: Ksr, call_id: str, whose: tuple[str, str], reason: str) -> None:
    """A call goes on without the node that it had, whose end of it counts no more; `whose` is panel and number."""
    panel, number = whose
    ksr.mqueue.mq_add(
        QUEUE,
        call_id,
        f'{MOVED},"call_id":{quoted(call_id)},"at_ms":{now_ms()},"panel":{quoted(panel)},'
        f'"dialled":{quoted(number)},"reason":{quoted(reason)}{_moves(ksr, call_id)}}}',
    )


def emergency_moved(ksr: Ksr, call_id: str, whose: tuple[str, str] | None, reason: str) -> None:
    """As `moved`, as a step of an emergency call; without `whose` it is a call back."""
    if whose is None:
        told = f'"call_id":{quoted(call_id)},"direction":"back"'
    else:
        told = EmergencyCall(call_id, *whose).told() + ',"direction":"out"'
    ksr.mqueue.mq_add(
        QUEUE,
        call_id,
        f'{{"event":"emergency","step":"moved",{told},"at_ms":{now_ms()},"detail":{quoted(reason)}'
        f"{_moves(ksr, call_id)}}}",
    )


def _moves(ksr: Ksr, call_id: str) -> str:
    """How often a call has moved, as a member of a JSON object that follows others; most have not, and say nothing."""
    count = moves.of(ksr, call_id)
    return f',"moves":{count}' if count else ""


def panel_called(ksr: Ksr, call_id: str, panel: str) -> None:
    """A stage rings a panel. For the state of panels alone: it is no part of the story that is shipped."""
    ksr.mqueue.mq_add(
        QUEUE,
        call_id,
        f'{PANEL_CALLED},"call_id":{quoted(call_id)},"at_ms":{now_ms()},"panel":{quoted(panel)}}}',
    )


def refused(ksr: Ksr, call_id: str, reason: str, sip_status: int, whose: tuple[str, str] | None = None) -> None:
    """A call ended before it reached Asterisk, or any node that is left; `whose` is account and number, once known."""
    told = "" if whose is None else f'"panel":{quoted(whose[0])},"dialled":{quoted(whose[1])},'
    ksr.mqueue.mq_add(
        QUEUE,
        call_id,
        f'{{"event":"refused","call_id":{quoted(call_id)},"at_ms":{now_ms()},{told}'
        f'"reason":{quoted(reason)},"sip_status":{sip_status}{_moves(ksr, call_id)}}}',
    )


class EmergencyCall(NamedTuple):
    """A call to a dispatch centre: of which panel, and the number dialled.

    Every step says all of it: whichever is recorded first tells a test from a call that the centre is told of.
    """

    call_id: str
    panel: str
    dialled: str

    def told(self) -> str:
        """These as members of a JSON object."""
        dialled = quoted(self.dialled) if self.dialled else "null"
        return f'"call_id":{quoted(self.call_id)},"panel":{quoted(self.panel)},"dialled":{dialled}'


def emergency(ksr: Ksr, call: EmergencyCall, step: tuple[str, str], number: str = "") -> None:
    """One step of an emergency call on its way to the dispatch centre: what happened, and more about it."""
    ksr.mqueue.mq_add(
        QUEUE,
        call.call_id,
        f'{{"event":"emergency",{call.told()},"at_ms":{now_ms()},"step":"{step[0]}",'
        f'"detail":{quoted(step[1])},"number":{quoted(number) if number else "null"}}}',
    )


def hung_up(ksr: Ksr, call: EmergencyCall) -> None:
    """The panel's leg of an emergency call is over: a step of it, and for the state of panels their end."""
    ksr.mqueue.mq_add(
        QUEUE,
        call.call_id,
        f'{HUNG_UP},{call.told()},"at_ms":{now_ms()},"detail":"the panel\'s leg is over"{_moves(ksr, call.call_id)}}}',
    )


def ended(ksr: Ksr, end: End) -> None:
    """A call is over."""
    whose = f'"panel":{quoted(end.panel)},"dialled":{quoted(end.dialled)},' if end.panel and end.dialled else ""
    if end.hung_up_by:
        whose += f'"hung_up_by":"{end.hung_up_by}",'
    ksr.mqueue.mq_add(
        QUEUE,
        end.call_id,
        f'{{"event":"ended","call_id":{quoted(end.call_id)},"at_ms":{now_ms()},"result":"{end.result}",{whose}'
        f'"cause":{end.cause},"talk_ms":{"null" if end.talk_ms is None else end.talk_ms},'
        f'"reason":{quoted(end.reason) if end.reason else "null"}{_moves(ksr, end.call_id)}}}',
    )


class BranchEvent(NamedTuple):
    """One thing that happened to one branch of a stage.

    `branch` (its index) and `contact` are None for an account without contact, `sip_status` where no device has spoken,
    `trunk` where no trunk is used.
    """

    branch: int | None
    account: str
    contact: str | None
    outcome: str
    sip_status: int | None
    trunk: str | None = None


def branches(ksr: Ksr, call_id: str, stage: int, happened: Iterable[BranchEvent], plan_source: str = "") -> None:
    """What happened to branches of a stage in one moment: one item of the queue, as each costs a lock."""
    head = f'{{"event":"branch","call_id":{quoted(call_id)},"at_ms":{now_ms()},"stage":{stage},'
    if plan_source:
        head += f'"plan_source":{quoted(plan_source)},'
    events = ",".join(
        f'{head}"branch":{"null" if index is None else index},"account":{quoted(account)},'
        f'"contact":{"null" if contact is None else quoted(contact)},"outcome":"{outcome}",'
        f'"sip_status":{"null" if sip_status is None else sip_status}'
        f"{'' if trunk is None else _TRUNK + quoted(trunk)}}}"
        for index, account, contact, outcome, sip_status, trunk in happened
    )
    if events:
        ksr.mqueue.mq_add(QUEUE, call_id, events)


_OUTCOMES = {
    408: "offline",
    410: "offline",
    430: "offline",
    480: "offline",
    486: "busy",
    600: "busy",
    487: "cancelled",
    603: "declined",
    607: "declined",
    403: "declined",
}


def outcome_of(status: int) -> str:
    """What a reply of a device says, in the words of the contract."""
    if status < _FINAL:
        return "ringing"
    if status < _NEGATIVE:
        return "answered"
    return _OUTCOMES.get(status, "failed")
