"""Ordinary calls that were answered: when, and their end, which is told by the BYE of the panel's leg.

So FastAGI is not asked at the end of every call. It tells the end of all others: nobody answered, or more happens than
two people talking (a desk, an access code). Asterisk says which is which: a stage that names the source of its plan is
one of an ordinary call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kemi_routes import story

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Request

# Call-ID of the panel's leg -> epoch ms of the answer.
_TALKING = "talking"
# Asterisk ends a call whose media has stopped (RFC 3326); FastAGI tells the end of that one, with the reason.
_NO_MEDIA = "Q.850;cause=44"


def begins(ksr: Ksr, call_id: str) -> None:
    """A device has answered."""
    ksr.htable.sht_sets(_TALKING, call_id, str(time.time_ns() // 1_000_000))


def ends(ksr: Ksr, request: Request) -> None:
    """A BYE is on its way, of a panel's leg or of any other.

    A call during which this proxy was started again is not known here any more: its record stays without an end.
    """
    call_id = request.call_id
    answered_at_ms = ksr.htable.sht_get(_TALKING, call_id)
    if answered_at_ms is None:
        return
    ksr.htable.sht_rm(_TALKING, call_id)
    if not (request.from_node and _NO_MEDIA in ksr.hdr.gete("Reason")):
        story.ended(ksr, call_id, "answered", max(0, time.time_ns() // 1_000_000 - int(answered_at_ms)))


def never_was(ksr: Ksr, call_id: str) -> None:
    """The panel's call has been cancelled; perhaps in the moment in which a device answered."""
    if ksr.htable.sht_get(_TALKING, call_id) is not None:
        ksr.htable.sht_rm(_TALKING, call_id)
        story.ended(ksr, call_id, "caller_hung_up")
