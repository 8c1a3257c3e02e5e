"""Calls of devices to Asterisk: may this account call this number, which node takes it, which when that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import admission, headers, nodes, policy, registration, story
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.replies import refuse, retry_after

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

ON_REPLY = "on_panel_reply"
ON_FAILURE = "on_panel_failure"
_ROUND_ROBIN = 4
# A node that says nothing for this long is passed over; one that rings may do so for as long as a stage list takes.
_NODE_SILENT_MS = 1000
_SETUP_MS = 180_000
_FAILED_NODE = frozenset((500, 502, 503))
_RING = 101
_FINAL = 200
_NEGATIVE = 300


def check_permission(ksr: Ksr, request: Request) -> Outcome:
    """Refuse numbers that an account of this kind does not reach."""
    if policy.may_call(request.kind, request.number, request.settings):
        return NEXT
    reason = f"accounts of kind {request.kind} may not call this number"
    return refuse(ksr, request, Refusal(403, "Forbidden", reason))


def send_to_node(ksr: Ksr, request: Request) -> Outcome:
    """Relay the call to a node of the dispatcher."""
    if ksr.dispatcher.ds_select_dst(nodes.SET, _ROUND_ROBIN) < 0:
        retry_after(ksr, request.settings.retry_after_s)
        return refuse(ksr, request, Refusal(503, "Service Unavailable", "no Asterisk node is up"))
    # Nobody chooses his way through us beforehand (RFC 3261, 16.4): we are the only hop.
    ksr.hdr.remove("Route")
    ksr.hdr.append(f"{headers.KIND}: {request.kind}\r\n")
    ksr.rr.record_route()
    if ksr.nathelper.nat_uac_test(registration.NAT_TESTS) > 0:
        ksr.nathelper.set_contact_alias()
    story.dialled(ksr, request.call_id, request.account, request.number)
    _relay(ksr, request.call_id)
    return DONE


def _relay(ksr: Ksr, call_id: str) -> None:
    node = nodes.name_of(ksr.kx.get_duri() or "")
    nodes.keep_panel_leg(ksr, call_id, nodes.PanelLeg(node, nodes.SENT, admission.silent_begins(ksr)))
    ksr.tm.t_on_reply(ON_REPLY)
    ksr.tm.t_on_failure(ON_FAILURE)
    ksr.tm.t_set_fr(_SETUP_MS, _NODE_SILENT_MS)
    if ksr.tm.t_relay() < 0:
        _end(ksr, call_id)
        ksr.err(f"call cannot be relayed to node {node}; call_id={call_id}\n")
        ksr.sl.send_reply_error()


def _end(ksr: Ksr, call_id: str) -> None:
    leg = nodes.panel_leg(ksr, call_id)
    if leg is not None and leg.state == nodes.SENT:
        admission.silent_ends(ksr, leg.second)
    nodes.end_leg(ksr, call_id)


def on_reply(ksr: Ksr) -> None:
    """A node's reply on its way to the device."""
    status = ksr.kx.get_status()
    call_id = ksr.kx.get_callid() or ""
    if status < _RING:
        nodes.keep_provisional(ksr, call_id)
        return
    if status < _FINAL:
        leg = nodes.panel_leg(ksr, call_id)
        if leg is not None and leg.state == nodes.SENT:
            admission.silent_ends(ksr, leg.second)
            nodes.keep_panel_leg(ksr, call_id, leg._replace(state=nodes.RINGS))
    elif status < _NEGATIVE:
        _end(ksr, call_id)
    headers.strip_private(ksr)


def on_failure(ksr: Ksr, settings: Settings) -> None:
    """Every branch has failed: try the next node when the node is to blame and nobody has heard it ring from there."""
    call_id = ksr.kx.get_callid() or ""
    leg = nodes.panel_leg(ksr, call_id)
    _end(ksr, call_id)
    if ksr.tm.t_is_canceled() > 0 or leg is None:
        return
    status = ksr.tm.t_get_status_code()
    silent = ksr.tm.t_branch_timeout() > 0 and ksr.tm.t_branch_replied() < 0
    lost = leg.state == nodes.LOST
    if not lost and (leg.state == nodes.RINGS or not (silent or status in _FAILED_NODE)):
        return
    why = "lost" if lost else "silent" if silent else f"answered {status}"
    if ksr.dispatcher.ds_next_dst() > 0:
        ksr.warn(f"node {leg.node} {why}, call goes on to {ksr.kx.get_duri()}; call_id={call_id}\n")
        _relay(ksr, call_id)
        return
    ksr.warn(f"node {leg.node} {why}, no node left: call refused with 503; call_id={call_id}\n")
    story.refused(ksr, call_id, "no Asterisk node left", 503)
    retry_after(ksr, settings.retry_after_s)
    ksr.tm.t_reply(503, "Service Unavailable")
