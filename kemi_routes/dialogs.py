"""What belongs to a transaction or dialog that exists: ACK, CANCEL, retransmissions, requests within dialogs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import (
    contact_address,
    foreign_text,
    headers,
    late_cancels,
    node_life,
    panel_talks,
    talks,
    trunk_cseq,
    voice_calls,
    waking,
)
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.replies import METHODS, refuse

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

_TARGET_REFRESH = frozenset(("INVITE", "UPDATE"))
# No transaction is made of it, or one that never has a branch of its own.
_WITHOUT_BRANCHES = frozenset(("ACK", "CANCEL", "REGISTER", "OPTIONS"))
ON_REPLY = "on_dialog_reply"
_NEGATIVE = 300


def absorb_double(ksr: Ksr, request: Request) -> Outcome:
    """Let go of a request that another worker has in hand at this moment: the network brought it twice, or late.

    Whoever asks tm for a transaction that has no branch yet ends it (6.1: "dropping orphaned transaction"): no reply
    would be for it any more, and the call is lost.
    """
    if request.method in _WITHOUT_BRANCHES:
        return NEXT
    return DONE if ksr.tmx.t_precheck_trans() > 0 else NEXT


def pass_cancel(ksr: Ksr, request: Request) -> Outcome:
    """CANCEL goes where its INVITE went (RFC 3261, 16.10)."""
    if request.method != "CANCEL":
        return NEXT
    if ksr.tm.t_check_trans() > 0:
        if request.from_node:
            waking.close(ksr, request.call_id)
            voice_calls.close(ksr, request.call_id)
        ksr.tm.t_relay()
        late_cancels.passed(ksr, request.call_id)
        if request.from_node:
            # A leg that has been put to wait since then has not seen yet that it is cancelled.
            waking.close(ksr, request.call_id)
            voice_calls.close(ksr, request.call_id)
        return DONE
    return refuse(ksr, request, Refusal(481, "Call/Transaction Does Not Exist", "nothing to cancel"))


def pass_ack(ksr: Ksr, request: Request) -> Outcome:
    """ACK of a 2xx follows its route; any other belongs to a transaction here, or to nothing: it is never answered.

    The ACK of a refusal has the Route of its INVITE (RFC 3261, 17.1.1.3), which ends here: a device with an outbound
    proxy set names us there. tm takes it, and says the refusal no more.
    """
    if request.method != "ACK":
        return NEXT
    has_route = request.in_dialog and ksr.rr.loose_route() > 0
    if has_route and _may_pass(ksr, request):
        if request.from_node:
            trunk_cseq.acknowledge(ksr, request.call_id)
        _relay(ksr, request)
    elif ksr.tm.t_check_trans() > 0 and not has_route:
        ksr.tm.t_relay()
    return DONE


def pass_in_dialog(ksr: Ksr, request: Request) -> Outcome:
    """Requests within a dialog follow the route that was recorded; one end of every dialog is an Asterisk node."""
    if not request.in_dialog:
        return NEXT
    if request.method == "REFER":
        ksr.hdr.append_to_reply(f"Allow: {METHODS}\r\n")
        return refuse(ksr, request, Refusal(405, "Method Not Allowed", "transfers are not served"))
    if ksr.rr.loose_route() < 0:
        return refuse(ksr, request, Refusal(481, "Call/Transaction Does Not Exist", "no route of ours"))
    if not _may_pass(ksr, request):
        return refuse(ksr, request, Refusal(403, "Forbidden", "route that leads neither from nor to Asterisk"))
    if request.method == "BYE":
        panel_talks.ends(ksr, _panel(ksr, request), request.call_id)
    if ksr.tm.t_check_trans() != 0:
        if request.method == "BYE":
            talks.ends(ksr, request)
        _relay(ksr, request)
    return DONE


def _panel(ksr: Ksr, request: Request) -> str:
    """Account of who has called, if this ends his call."""
    return foreign_text.called(ksr) if request.from_node else foreign_text.caller(ksr)


def _may_pass(ksr: Ksr, request: Request) -> bool:
    return request.from_node or node_life.is_node(ksr, ksr.kx.get_nhuri() or "")


def _relay(ksr: Ksr, request: Request) -> None:
    if request.from_node:
        ksr.nathelper.handle_ruri_alias()
        if request.method in _TARGET_REFRESH:
            ksr.tm.t_on_reply(ON_REPLY)
    elif request.method in _TARGET_REFRESH:
        contact_address.mend(ksr)
    if ksr.tm.t_relay() < 0 and request.method != "ACK":
        ksr.sl.send_reply_error()


def on_reply(ksr: Ksr) -> None:
    """A device's answer to a change of the session: its Contact is where the dialog leads from now on (12.2.1.2)."""
    headers.strip_private(ksr)
    if ksr.kx.get_status() < _NEGATIVE:
        contact_address.mend(ksr)


def absorb_retransmission(ksr: Ksr, request: Request) -> Outcome:
    """Repeat the last reply to a repeated INVITE (RFC 3261, 17.2.1)."""
    if request.method != "INVITE":
        return NEXT
    return DONE if ksr.tm.t_check_trans() == 0 else NEXT
