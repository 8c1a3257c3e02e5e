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

from kemi_routes import panel_talks, story
from kemi_routes.clock import steady_ms
from kemi_routes.table_rows import locked

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Request

# Leg of a panel -> `at <steady ms of the answer> <panel> <number> <who hung up>`, or `centre <number> <panel>` in a
# call to a dispatch centre; leg of a stage -> `of <leg of the panel>`; leg to a panel through which somebody looks ->
# `look <panel> <leg of who looks>`.
_TALKING = "talking"
_AT = "at "
_OF = "of "
_CENTRE = "centre "
_LOOK = "look "
# Asterisk ends a call whose media has stopped, and says so to the side that was silent (RFC 3326).
_STOPPED = "Q.850;cause=44"
NO_MEDIA = "no media for 30 s"
# Who hung up, as long as it is kept here: the platform, for the panel's sake.
_GAVE_WAY = "gave_way"
GAVE_WAY = "the panel was called back by a dispatcher"


def begins(ksr: Ksr, call_id: str, leg_id: str, whose: str) -> None:
    """A device has answered the stage whose leg this is; `whose` is panel and number, URI-encoded, with a comma."""
    ksr.htable.sht_sets(_TALKING, call_id, f"{_AT}{steady_ms()} {whose.replace(',', ' ')} {story.PLATFORM}")
    ksr.htable.sht_sets(_TALKING, leg_id, _OF + call_id)


def look_begins(ksr: Ksr, leg_id: str, panel: str, node: str, call_id: str) -> None:
    """Somebody looks through a panel; a dispatcher who calls it back ends that like any talk of the panel."""
    panel_talks.begins(ksr, panel, panel_talks.Talk(node, call_id))
    ksr.htable.sht_sets(_TALKING, leg_id, f"{_LOOK}{panel} {call_id}")


def centre_called(ksr: Ksr, call: story.EmergencyCall) -> None:
    """The call of this panel's leg is on its way to a dispatch centre."""
    ksr.htable.sht_sets(_TALKING, call.call_id, f"{_CENTRE}{call.dialled} {call.panel}")


def centre_left(ksr: Ksr, call_id: str) -> bool:
    """The panel's leg is over: tell so, if it was a call to a dispatch centre."""
    entry = _take(ksr, call_id, _CENTRE)
    if entry:
        _tell_centre_left(ksr, call_id, entry)
    return bool(entry)


def _tell_centre_left(ksr: Ksr, call_id: str, entry: str) -> None:
    dialled, _, panel = entry.removeprefix(_CENTRE).partition(" ")
    story.hung_up(ksr, story.EmergencyCall(call_id, panel, dialled))


def _take(ksr: Ksr, leg_id: str, kind: str) -> str:
    """Take the entry of a leg, once: both sides may hang up at the same moment, and each BYE has a worker of its own.

    Empty when there is none, or none that begins with `kind`.
    """
    with locked(ksr, _TALKING, leg_id):
        entry = ksr.htable.sht_get(_TALKING, leg_id)
        if not isinstance(entry, str) or not entry.startswith(kind):
            return ""
        ksr.htable.sht_rm(_TALKING, leg_id)
    return entry


def ends(ksr: Ksr, request: Request) -> None:
    """A BYE is on its way, of a panel's leg or of any other.

    A call during which this proxy was started again is not known here any more: its record stays without an end.
    """
    entry = _take(ksr, request.call_id, "")
    stopped = request.from_node and _STOPPED in ksr.hdr.gete("Reason")
    if entry.startswith(_CENTRE):
        _tell_centre_left(ksr, request.call_id, entry)
    elif entry.startswith(_LOOK):
        panel, _, looks = entry.removeprefix(_LOOK).partition(" ")
        panel_talks.ends(ksr, panel, looks)
    elif entry.startswith(_AT):
        _tell(ksr, request.call_id, entry if request.from_node else _by(entry, story.CALLER), stopped=stopped)
    elif entry.startswith(_OF):
        _stage_ends(ksr, request, entry.removeprefix(_OF), stopped=stopped)


def _stage_ends(ksr: Ksr, request: Request, call_id: str, *, stopped: bool) -> None:
    """The leg of a stage is over, of the panel's call with this Call-ID."""
    if not request.from_node:
        _note(ksr, call_id, story.CALLEE)
    elif stopped:
        _tell(ksr, call_id, _take(ksr, call_id, _AT), stopped=True)


def gives_way(ksr: Ksr, call_id: str) -> bool:
    """The panel is wanted by a dispatcher: its node ends this call next. False: a call to a centre gives way to nobody.

    It may be marked as any other: a number that the CRM alone knows for an emergency one is an ordinary one until then.
    """
    entry = ksr.htable.sht_get(_TALKING, call_id)
    if isinstance(entry, str) and entry.startswith(_CENTRE):
        return False
    _note(ksr, call_id, _GAVE_WAY)
    return True


def _by(entry: str, who: str) -> str:
    return f"{entry.rpartition(' ')[0]} {who}"


def _note(ksr: Ksr, call_id: str, who: str) -> None:
    """Note who ends this call: Asterisk ends the panel's leg next, and then it is told.

    Not when the panel has hung up in the same moment: what is taken already must not be put back.
    """
    with locked(ksr, _TALKING, call_id):
        entry = ksr.htable.sht_get(_TALKING, call_id)
        if isinstance(entry, str) and entry.startswith(_AT):
            ksr.htable.sht_sets(_TALKING, call_id, _by(entry, who))


def _tell(ksr: Ksr, call_id: str, entry: str, *, stopped: bool) -> None:
    """Tell the end; without an entry it has been told by the panel's BYE, but not why."""
    if not entry:
        story.ended(ksr, story.End(call_id, "answered", reason=NO_MEDIA, cause=story.STOPPED))
        return
    answered_ms, panel, dialled, by = entry.removeprefix(_AT).split(" ")
    talk_ms = max(0, steady_ms() - int(answered_ms))
    end = story.End(call_id, "answered", talk_ms, None, unquote(panel), unquote(dialled), by)
    if by == _GAVE_WAY:
        end = end._replace(reason=GAVE_WAY, hung_up_by=story.PLATFORM)
    if stopped:
        end = end._replace(reason=NO_MEDIA, cause=story.STOPPED)
    story.ended(ksr, end)


def never_was(ksr: Ksr, call_id: str) -> bool:
    """The panel's call has been cancelled; tell so, if that was in the moment in which a device answered."""
    entry = _take(ksr, call_id, "")
    if entry.startswith(_CENTRE):
        _tell_centre_left(ksr, call_id, entry)
    if not entry.startswith(_AT):
        return False
    _, panel, dialled, _ = entry.removeprefix(_AT).split(" ")
    cancelled(ksr, call_id, unquote(panel), unquote(dialled))
    return True


def cancelled(ksr: Ksr, call_id: str, panel: str, dialled: str) -> None:
    """Tell that the panel has taken its call back before anybody talked."""
    story.ended(ksr, story.End(call_id, "caller_hung_up", 0, None, panel, dialled, story.CALLER))
