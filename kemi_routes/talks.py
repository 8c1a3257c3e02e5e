"""Ordinary calls that were answered: when, and their end, which is told by the BYE of the panel's leg.

So FastAGI is not asked at the end of every call. It tells the end of all others: nobody answered, or more happens than
two people talking (a desk, an access code). Asterisk says which is which: a stage that names the source of its plan is
one of an ordinary call.

The end of a call to a dispatch centre is told by both, for FastAGI may be dead: its panel is free and its number is
kept from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from kemi_routes import call_backs, story
from kemi_routes.clock import now_ms

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Request

# Leg of a panel -> `at <epoch ms of the answer> <panel> <number> <who hung up>`, or `centre <number> <panel>` in a call
# to a dispatch centre; leg of a stage -> `of <leg of the panel>`; leg to a panel through which somebody looks ->
# `look <panel> <leg of who looks>`.
_TALKING = "talking"
_AT = "at "
_OF = "of "
_CENTRE = "centre "
_LOOK = "look "
# Asterisk ends a call whose media has stopped, and says so to the side that was silent (RFC 3326).
_STOPPED = "Q.850;cause=44"
NO_MEDIA = "no media for 30 s"


def begins(ksr: Ksr, call_id: str, leg_id: str, whose: str) -> None:
    """A device has answered the stage whose leg this is; `whose` is panel and number, URI-encoded, with a comma."""
    ksr.htable.sht_sets(_TALKING, call_id, f"{_AT}{now_ms()} {whose.replace(',', ' ')} {story.PLATFORM}")
    ksr.htable.sht_sets(_TALKING, leg_id, _OF + call_id)


def look_begins(ksr: Ksr, leg_id: str, panel: str, node: str, call_id: str) -> None:
    """Somebody looks through a panel; a dispatcher who calls it back ends that like any talk of the panel."""
    call_backs.talk_begins(ksr, panel, node, call_id)
    ksr.htable.sht_sets(_TALKING, leg_id, f"{_LOOK}{panel} {call_id}")


def centre_called(ksr: Ksr, call: story.EmergencyCall) -> None:
    """The call of this panel's leg is on its way to a dispatch centre."""
    ksr.htable.sht_sets(_TALKING, call.call_id, f"{_CENTRE}{call.dialled} {call.panel}")


def centre_left(ksr: Ksr, call_id: str) -> bool:
    """The panel's leg is over: tell so, if it was a call to a dispatch centre."""
    entry = ksr.htable.sht_get(_TALKING, call_id)
    if not isinstance(entry, str) or not entry.startswith(_CENTRE):
        return False
    ksr.htable.sht_rm(_TALKING, call_id)
    dialled, _, panel = entry.removeprefix(_CENTRE).partition(" ")
    story.hung_up(ksr, story.EmergencyCall(call_id, panel, dialled))
    return True


def ends(ksr: Ksr, request: Request) -> None:
    """A BYE is on its way, of a panel's leg or of any other.

    A call during which this proxy was started again is not known here any more: its record stays without an end.
    """
    entry = ksr.htable.sht_get(_TALKING, request.call_id)
    if not isinstance(entry, str) or centre_left(ksr, request.call_id):
        return
    ksr.htable.sht_rm(_TALKING, request.call_id)
    if entry.startswith(_LOOK):
        panel, _, looks = entry.removeprefix(_LOOK).partition(" ")
        call_backs.talk_ends(ksr, panel, looks)
        return
    stopped = request.from_node and _STOPPED in ksr.hdr.gete("Reason")
    if entry.startswith(_AT):
        _tell(ksr, request.call_id, entry if request.from_node else _by(entry, story.CALLER), stopped=stopped)
        return
    call_id = entry.removeprefix(_OF)
    if not request.from_node:
        _note_callee(ksr, call_id)
    elif stopped:
        answered = ksr.htable.sht_get(_TALKING, call_id)
        ksr.htable.sht_rm(_TALKING, call_id)
        _tell(ksr, call_id, answered if isinstance(answered, str) else "", stopped=True)


def _by(entry: str, who: str) -> str:
    return f"{entry.rpartition(' ')[0]} {who}"


def _note_callee(ksr: Ksr, call_id: str) -> None:
    """The phone that answered has hung up: Asterisk ends the panel's leg next, and then it is told."""
    answered = ksr.htable.sht_get(_TALKING, call_id)
    if isinstance(answered, str):
        ksr.htable.sht_sets(_TALKING, call_id, _by(answered, story.CALLEE))


def _tell(ksr: Ksr, call_id: str, entry: str, *, stopped: bool) -> None:
    """Tell the end; without an entry it has been told by the panel's BYE, but not why."""
    reason = NO_MEDIA if stopped else None
    if not entry:
        story.ended(ksr, story.End(call_id, "answered", reason=reason))
        return
    answered_at_ms, panel, dialled, by = entry.removeprefix(_AT).split(" ")
    talk_ms = max(0, now_ms() - int(answered_at_ms))
    story.ended(ksr, story.End(call_id, "answered", talk_ms, reason, unquote(panel), unquote(dialled), by))


def never_was(ksr: Ksr, call_id: str) -> None:
    """The panel's call has been cancelled; perhaps in the moment in which a device answered."""
    entry = ksr.htable.sht_get(_TALKING, call_id)
    if isinstance(entry, str) and not centre_left(ksr, call_id):
        ksr.htable.sht_rm(_TALKING, call_id)
        _, panel, dialled, _ = entry.removeprefix(_AT).split(" ")
        end = story.End(call_id, "caller_hung_up", 0, None, unquote(panel), unquote(dialled), story.CALLER)
        story.ended(ksr, end)
