"""Calls of devices to Asterisk: may this account call this number, which node takes it, which when that fails."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kemi_routes import (
    admission,
    call_backs,
    contact_address,
    emergency_calls,
    emergency_table,
    foreign_text,
    headers,
    moves,
    node_life,
    nodes,
    panel_talks,
    policy,
    probe_calls,
    second_answers,
    story,
    talks,
)
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.relaying import relay_or_keep
from kemi_routes.replies import CANCELLED, number_told, refuse, retry_after

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

ON_REPLY = "on_panel_reply"
ON_FAILURE = "on_panel_failure"
# A node that says nothing for this long is passed over; one that rings may do so for as long as a stage list takes.
# Shorter, and a node that is only slow would ring the apartment a second time through its neighbour.
_NODE_SILENT_MS = 2000
# Whose call it is, as the story has been told: account and number, LF between them. Empty for a call back.
_DIALLED = "$avp(dialled)"
# Nodes that an emergency call has been sent to, as `host:port host:port`; any other call has none.
_TRIED = "$avp(tried)"
# Where emergency calls go on (emergency_calls.mark) and calls back. Another number of theirs, of a panel that is not
# known here, goes their way in case that it is one, and only the ring plan tells: nobody is alarmed before.
_CERTAIN = (emergency_table.ALWAYS, call_backs.USER)
_SETUP_MS = 660_000
_EVERYDAY = frozenset((480, 486, 487))
_NOT_FOUND = 404
_FAILED_NODE = frozenset((500, 502, 503))
# Refused by the node before its dialplan runs, so that nobody else tells of it: it cannot read or meet what is asked.
_NOT_TAKEN = {
    400: "the node cannot read the request",
    413: "the request is too large",
    415: "media type not supported",
    416: "scheme of the address not supported",
    420: "extension not supported",
    488: "no common codec",
    505: "version of SIP not supported",
}
_BEFORE_DIALPLAN = _FAILED_NODE.union(_NOT_TAKEN)
# What Asterisk answers for every call when it is told to end (SIGTERM, `core stop now`): it hangs up without a cause.
# Whoever declines has one, for the dialplan ends each call by Hangup(<cause>).
_DECLINED = 603
_WITHOUT_CAUSE = re.compile(r"Q\.850\s*;\s*cause=0(?!\d)", re.IGNORECASE)
_RING = 101
_FINAL = 200
_NEGATIVE = 300


def check_permission(ksr: Ksr, request: Request) -> Outcome:
    """Refuse numbers that an account of this kind does not reach."""
    if policy.may_call(request.kind, request.number, request.settings) or emergency_calls.may_call(request):
        return NEXT
    reason = f"accounts of kind {request.kind} may not call this number"
    return refuse(ksr, request, Refusal(403, "Forbidden", reason))


def send_to_node(ksr: Ksr, request: Request) -> Outcome:
    """Relay the call to a node of the dispatcher."""
    choose = node_life.choose_for_emergency if request.emergency else node_life.choose
    if not choose(ksr) and not _take_node_that_is_down(ksr, emergency=request.emergency):
        retry_after(ksr, request.settings.retry_after_s)
        return refuse(ksr, request, Refusal(503, "Service Unavailable", "no Asterisk node is up"))
    # Nobody chooses his way through us beforehand (RFC 3261, 16.4): we are the only hop.
    ksr.hdr.remove("Route")
    ksr.hdr.append(f"{headers.KIND}: {request.kind}\r\n")
    ksr.rr.record_route()
    if request.kind == call_backs.KIND:
        contact_address.mend_of_carrier(ksr)
    else:
        contact_address.mend(ksr)
    if request.kind != call_backs.KIND:
        probe_calls.give_way(ksr, request.settings, request.account)
        number = number_told(request)
        story.dialled(ksr, request.call_id, request.account, number)
        ksr.pv.sets(_DIALLED, f"{request.account}\n{number}")
    if _relay(ksr, request.call_id, emergency=request.emergency):
        return DONE
    if ksr.tm.t_is_canceled() > 0:
        _never_was(ksr, request.call_id, no_node=True)
        ksr.sl.send_reply(*CANCELLED)
        return DONE
    retry_after(ksr, request.settings.retry_after_s)
    return refuse(ksr, request, Refusal(503, "Service Unavailable", "no Asterisk node can be reached"))


def _take_node_that_is_down(ksr: Ksr, *, emergency: bool) -> bool:
    """Choose a node beside the dispatcher: for an emergency call any not tried yet, else one heard just now."""
    tried = ksr.pv.get(_TRIED)
    names = tried.split() if isinstance(tried, str) else []
    for uri in node_life.every_uri(ksr):
        if node_life.name_of(uri) not in names and (emergency or node_life.lives(ksr, node_life.address_of(uri))):
            ksr.pv.sets("$du", uri)
            return True
    return False


def _take_another(ksr: Ksr, failed: str, *, emergency: bool) -> bool:
    """Choose who takes the call from a node that has failed: the next one that is up; of an emergency call any left."""
    return ksr.dispatcher.ds_next_dst() > 0 or (emergency and _take_another_for_emergency(ksr, failed))


def _take_another_for_emergency(ksr: Ksr, failed: str) -> bool:
    """Choose who takes an emergency call from its own node, or any that is left."""
    tried = ksr.pv.get(_TRIED)
    from_its_own = tried == f" {failed}" and node_life.is_for_emergencies(ksr, f"sip:{failed}")
    return (from_its_own and node_life.choose(ksr)) or _take_node_that_is_down(ksr, emergency=True)


def _relay(ksr: Ksr, call_id: str, *, emergency: bool) -> bool:
    """Relay to the node that is chosen, or to the next one that can be sent to; False when there is none.

    False also when the call is cancelled: tm sends nothing then.
    """
    while True:
        node = node_life.name_of(ksr.kx.get_duri() or "")
        if emergency:
            ksr.pv.sets(_TRIED, f"{ksr.pv.get(_TRIED) or ''} {node}")
        nodes.keep_panel_leg(ksr, call_id, nodes.PanelLeg(node, nodes.SENT, admission.setup_begins(ksr)))
        ksr.tm.t_on_reply(ON_REPLY)
        ksr.tm.t_on_failure(ON_FAILURE)
        ksr.tm.t_set_fr(_SETUP_MS, _NODE_SILENT_MS)
        if relay_or_keep(ksr):
            return True
        _end(ksr, call_id)
        if ksr.tm.t_is_canceled() > 0:
            return False
        ksr.warn(f"node {node} cannot be reached; call_id={call_id}\n")
        if not _take_another(ksr, node, emergency=emergency):
            return False


def _end(ksr: Ksr, call_id: str) -> nodes.PanelLeg | None:
    leg = nodes.end_panel_leg(ksr, call_id)
    if leg is not None and leg.state == nodes.SENT:
        admission.setup_ends(ksr, leg.sent_ms)
    return leg


def on_reply(ksr: Ksr, settings: Settings) -> None:
    """A node's reply on its way to the device."""
    status = ksr.kx.get_status()
    if second_answers.ends_given_up(ksr, settings):
        return
    call_id = ksr.kx.get_callid() or ""
    if status < _RING:
        nodes.keep_provisional(ksr, call_id)
        return
    leg = nodes.panel_leg(ksr, call_id)
    if status < _FINAL:
        if leg is not None and leg.state in (nodes.SENT, nodes.DIALS):
            nodes.keep_provisional(ksr, call_id)  # its 100 may have been lost
            if _goes_on(ksr, call_id, leg, nodes.RINGS, (nodes.SENT, nodes.DIALS)):
                _talk_begins(ksr, leg.node, call_id)
    elif status < _NEGATIVE:
        # Without a leg the 200 is repeated.
        if leg is not None and leg.state != nodes.RINGS:
            _talk_begins(ksr, leg.node, call_id)
        _end(ksr, call_id)
    elif leg is not None and _is_going(ksr, status):
        _goes_on(ksr, call_id, leg, nodes.GOING, nodes.EVERY_STATE)
    headers.strip_private(ksr)


def _is_going(ksr: Ksr, status: int) -> bool:
    """Tell whether the refusal at hand says that the node is being stopped."""
    return status == _DECLINED and _WITHOUT_CAUSE.search(ksr.hdr.gete("Reason")) is not None


def _goes_on(ksr: Ksr, call_id: str, leg: nodes.PanelLeg, state: str, before: tuple[str, ...]) -> bool:
    """The node has said something of the call, which waits in no queue any more; False when that is no news."""
    if leg.state not in before:
        return False
    was = nodes.change_panel_leg(ksr, call_id, leg.node, state, before)
    if was is not None and was.state == nodes.SENT:
        admission.setup_ends(ksr, was.sent_ms)
    return was is not None


def _talk_begins(ksr: Ksr, node: str, call_id: str) -> None:
    """From now on the panel can be freed for a dispatcher. A call to a dispatch centre gives way to nobody."""
    if not ksr.pv.get(_TRIED):
        panel_talks.begins(ksr, foreign_text.caller(ksr), panel_talks.Talk(node, call_id))


def on_failure(ksr: Ksr, settings: Settings) -> None:
    """Every branch has failed: try the next node when the node is to blame.

    Not when it has rung by then, unless the node is lost or being stopped: whatever it rang is over with it.
    """
    call_id = ksr.kx.get_callid() or ""
    leg = _end(ksr, call_id)
    panel_talks.ends(ksr, foreign_text.caller(ksr), call_id)
    status = ksr.tm.t_get_status_code()
    if ksr.tm.t_is_canceled() > 0:
        no_node = leg is not None and _ends_unseen(ksr, call_id, leg, status)
        _never_was(ksr, call_id, no_node=no_node)
        return
    if leg is None:
        return
    silent = ksr.tm.t_branch_timeout() > 0 and ksr.tm.t_branch_replied() < 0
    lost = leg.state in (nodes.LOST, nodes.GOING)
    if not lost and (leg.state == nodes.RINGS or not (silent or status in _FAILED_NODE)):
        talks.centre_left(ksr, call_id)
        _log_end(ksr, call_id, leg, status)
        return
    emergency = ksr.pv.get(_TRIED) is not None
    why = leg.state if lost else "silent" if silent else f"answered {status}"
    if lost or silent:
        nodes.keep_left(ksr, call_id, leg.node)
    _moves(ksr, call_id, f"node {leg.node} {why}", emergency=emergency and ksr.kx.gete_ruser() in _CERTAIN)
    if _take_another(ksr, leg.node, emergency=emergency):
        ksr.warn(f"node {leg.node} {why}, call goes on to {ksr.kx.get_duri()}; call_id={call_id}\n")
        if _relay(ksr, call_id, emergency=emergency):
            return
        if ksr.tm.t_is_canceled() > 0:
            _never_was(ksr, call_id, no_node=True)
            return
    ksr.warn(f"node {leg.node} {why}, no node left: call refused with 503; call_id={call_id}\n")
    talks.centre_left(ksr, call_id)
    story.refused(ksr, call_id, "no Asterisk node left", 503)
    retry_after(ksr, settings.retry_after_s)
    ksr.tm.t_reply(503, "Service Unavailable")


def _moves(ksr: Ksr, call_id: str, why: str, *, emergency: bool) -> None:
    """From now on no end counts that the node before tells: it is told how often the call had moved."""
    count = moves.leaves(ksr, call_id)
    ksr.hdr.append(f"{headers.MOVES}: {count}\r\n")
    kept = ksr.pv.get(_DIALLED)
    panel, _, number = kept.partition("\n") if isinstance(kept, str) else ("", "", "")
    if panel:
        story.moved(ksr, call_id, (panel, number), why)
    if emergency:
        story.emergency_moved(ksr, call_id, (panel, number) if panel else None, why)


def _ends_unseen(ksr: Ksr, call_id: str, leg: nodes.PanelLeg, status: int) -> bool:
    """Tell whether no dialplan tells the end of this cancelled call (asterisk/extensions.conf, [over]).

    Its node has refused it by itself, or is dead. One that only stood still rings nobody for it later; one that was
    taken for dead and says 487 runs its dialplan.
    """
    if (leg.state == nodes.LOST and status in _BEFORE_DIALPLAN) or ksr.tm.t_branch_timeout() > 0:
        nodes.keep_left(ksr, call_id, leg.node)
        return True
    return leg.state == nodes.SENT and status in _BEFORE_DIALPLAN


def _never_was(ksr: Ksr, call_id: str, *, no_node: bool) -> None:
    """The call is cancelled; with `no_node` nobody else tells its end."""
    told = talks.never_was(ksr, call_id)
    whose = ksr.pv.get(_DIALLED)
    if no_node and not told and isinstance(whose, str):
        talks.cancelled(ksr, call_id, *whose.split("\n", 1))


def _log_end(ksr: Ksr, call_id: str, leg: nodes.PanelLeg, status: int) -> None:
    """Log a node's refusal, except the everyday ones: nobody answers, busy, gone, or a prompt has told the reason."""
    if status in _EVERYDAY or (status == _NOT_FOUND and leg.state == nodes.RINGS):
        return
    reason = _NOT_TAKEN.get(status) or ksr.pv.get("$T_reply_reason") or "-"
    number = policy.told(ksr.kx.gete_ruser())
    ksr.notice(f"call ended by node: {status} {reason}; node={leg.node} number={number} call_id={call_id}\n")
    if status in _NOT_TAKEN:
        story.refused(ksr, call_id, str(reason), status)
