"""Ordinary calls that were answered: when, and their end, which is told by the BYE of the panel's leg.

So FastAGI is not asked at the end of every call. It tells the end of all others: nobody answered, or more happens than
two people talking (a desk, an access code). Asterisk says which is which: a stage that names the source of its plan is
one of an ordinary call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kemi_routes import headers, story

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Request

ON_REPLY = "on_bye_reply"
# Call-ID of the panel's leg -> epoch ms of the answer.
_TALKING = "talking"
# Asterisk ends a call whose media has stopped (RFC 3326); FastAGI tells the end of that one, with the reason.
_NO_MEDIA = "Q.850;cause=44"
_OK = 200
_NEGATIVE = 300


def begins(ksr: Ksr, call_id: str) -> None:
    """A device has answered."""
    ksr.htable.sht_sets(_TALKING, call_id, str(time.time_ns() // 1_000_000))


def ends(ksr: Ksr, request: Request) -> None:
    """A BYE is on its way, of a panel's leg or of a stage's.

    Where nothing is known, this proxy may have been started again during the call: that the call is over is then told
    when the other side confirms the BYE, as a stranger may send one for a call that never was.
    """
    call_id = request.call_id
    answered_at_ms = ksr.htable.sht_get(_TALKING, call_id)
    if answered_at_ms is not None:
        ksr.htable.sht_rm(_TALKING, call_id)
        if not (request.from_node and _NO_MEDIA in ksr.hdr.gete("Reason")):
            story.ended(ksr, call_id, "answered", max(0, time.time_ns() // 1_000_000 - int(answered_at_ms)))
    elif headers.STAGE_USER not in (ksr.kx.get_fuser(), ksr.kx.get_tuser()):
        ksr.tm.t_on_reply(ON_REPLY)


def never_was(ksr: Ksr, call_id: str) -> None:
    """The panel's call has been cancelled; perhaps in the moment in which a device answered."""
    if ksr.htable.sht_get(_TALKING, call_id) is not None:
        ksr.htable.sht_rm(_TALKING, call_id)
        story.ended(ksr, call_id, "caller_hung_up")


def on_reply(ksr: Ksr) -> None:
    """The answer to the BYE of a call that nothing is known of."""
    if _OK <= ksr.kx.get_status() < _NEGATIVE:
        story.ended(ksr, ksr.kx.get_callid() or "", None)
