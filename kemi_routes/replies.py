"""Refusals: the reply, one log line with the reason and the Call-ID, and a line in the call's story."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import policy, story
from kemi_routes.pipeline import DONE, Refusal

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

_RINGING, _PROGRESS = 180, 183
_REDIRECTION, _CLIENT_FAILS = 300, 400
_TRUNK = "trunk"
# What a leg is told that was cancelled before it went anywhere (RFC 3261, 9.2); tm may have been quicker.
CANCELLED = (487, "Request Terminated")
# Out of a dialog, and everywhere.
METHODS_OUTSIDE = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER"
METHODS = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, UPDATE, PRACK, MESSAGE, NOTIFY"


def refuse(ksr: Ksr, request: Request, refusal: Refusal) -> Outcome:
    """Refuse a request. An ACK is never answered (RFC 3261, 17.1.1.3): it is only dropped."""
    if request.method == "ACK":
        return DONE
    status, phrase, reason = refusal
    ksr.sl.send_reply(status, phrase)
    who = request.account or "-"
    ksr.notice(
        f"refused {request.method} with {status}: {reason}; number={policy.told(request.number) or '-'} account={who} "
        f"source={request.source_ip} call_id={request.call_id}\n"
    )
    if request.method == "INVITE" and not request.in_dialog and not request.from_node:
        story.refused(ksr, request.call_id, reason, status, _whose(request))
    return DONE


def _whose(request: Request) -> tuple[str, str] | None:
    """Return account and number of a call whose caller has shown who it is; a carrier is none, nor a stranger."""
    if not request.account or request.kind in (_TRUNK, policy.STRANGER):
        return None
    return request.account, number_told(request)


def number_told(request: Request) -> str:
    """Return the number dialled as stories tell it: an emergency call's as it is, never an access code."""
    return request.number if request.emergency else policy.told(request.number)


def refuse_who_was_left(ksr: Ksr, request: Request) -> Outcome:
    """Refuse what a node rings that stood still while its visitor's call went on without it: nobody is there."""
    return refuse(ksr, request, Refusal(480, "Visitor Is Elsewhere", "the call has gone on without this node"))


def retry_after(ksr: Ksr, seconds: int) -> None:
    """Say in the reply that follows when to come back (RFC 3261, 20.33)."""
    ksr.hdr.append_to_reply(f"Retry-After: {seconds}\r\n")


def name_ringing(ksr: Ksr, status: int) -> int:
    """Make a 183 that shows nothing (no body) the 180 that it means, in a reply route; return the status it has then.

    To Asterisk a 183 is sound to come: the visitor would hear neither that nor ringing.
    """
    if status == _PROGRESS and ksr.kx.get_bodylen() == 0:
        ksr.textopsx.change_reply_status_code(_RINGING)
        return _RINGING
    return status


def tell_no_redirect(ksr: Ksr) -> None:
    """Tell Asterisk, in a failure route, that a device which sends it elsewhere (3xx) is not there.

    Asterisk would follow the Contact into its dialplan in the panel's name: to 112, a neighbour, an access code. This
    is for nobody to ask, as REFER is not (docs/decisions/0011).
    """
    if _REDIRECTION <= ksr.tm.t_get_status_code() < _CLIENT_FAILS:
        ksr.tm.t_reply(480, "Redirections Are Not Followed")
