"""Refusals: the reply, one log line with the reason and the Call-ID, and a line in the call's story."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import policy, story
from kemi_routes.pipeline import DONE

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Refusal, Request

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
        story.refused(ksr, request.call_id, reason, status)
    return DONE


def retry_after(ksr: Ksr, seconds: int) -> None:
    """Say in the reply that follows when to come back (RFC 3261, 20.33)."""
    ksr.hdr.append_to_reply(f"Retry-After: {seconds}\r\n")
