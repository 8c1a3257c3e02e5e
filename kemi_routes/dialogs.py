"""What belongs to a transaction or a dialog that already exists: ACK, CANCEL, retransmissions and requests within dialogs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import nodes, registration
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.replies import METHODS, refuse

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

_TARGET_REFRESH = frozenset(("INVITE", "UPDATE"))


def pass_cancel(ksr: Ksr, request: Request) -> Outcome:
    """CANCEL goes where its INVITE went (RFC 3261, 16.10)."""
    if request.method != "CANCEL":
        return NEXT
    if ksr.tm.t_check_trans() > 0:
        ksr.tm.t_relay()
        return DONE
    return refuse(ksr, request, Refusal(481, "Call/Transaction Does Not Exist", "nothing to cancel"))


def pass_in_dialog(ksr: Ksr, request: Request) -> Outcome:
    """Requests within a dialog follow the route that was recorded; one end of every dialog is an Asterisk node."""
    method = request.method
    if method == "ACK" and not request.in_dialog:
        if ksr.tm.t_check_trans() > 0:
            ksr.tm.t_relay()
        return DONE
    if not request.in_dialog:
        return NEXT
    if method == "REFER":
        ksr.hdr.append_to_reply(f"Allow: {METHODS}\r\n")
        return refuse(ksr, request, Refusal(405, "Method Not Allowed", "transfers are not served"))
    if ksr.rr.loose_route() < 0:
        if method == "ACK":
            # The ACK to a negative reply of ours or of a transaction: hop by hop, absorbed here.
            if ksr.tm.t_check_trans() > 0:
                ksr.tm.t_relay()
            return DONE
        return refuse(ksr, request, Refusal(481, "Call/Transaction Does Not Exist", "no route of ours"))
    if not request.from_node and not nodes.is_node(ksr, ksr.kx.get_nhuri() or ""):
        return refuse(ksr, request, Refusal(403, "Forbidden", "route that leads neither from nor to Asterisk"))
    if request.from_node:
        ksr.nathelper.handle_ruri_alias()
    elif method in _TARGET_REFRESH and ksr.nathelper.nat_uac_test(registration.NAT_TESTS) > 0:
        ksr.nathelper.set_contact_alias()
    if method != "ACK" and ksr.tm.t_check_trans() == 0:
        return DONE
    if ksr.tm.t_relay() < 0 and method != "ACK":
        ksr.sl.send_reply_error()
    return DONE


def absorb_retransmission(ksr: Ksr, request: Request) -> Outcome:
    """Repeat the last reply to a repeated INVITE (RFC 3261, 17.2.1)."""
    if request.method != "INVITE":
        return NEXT
    if ksr.tmx.t_precheck_trans() > 0:
        ksr.tm.t_check_trans()
        return DONE
    return DONE if ksr.tm.t_check_trans() == 0 else NEXT
