"""Calls of panels that were answered: when, and their end, which is told by the BYE.

So FastAGI is not asked at the end of every call; it tells the end of those that nobody answered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kemi_routes import stage_calls, story

if TYPE_CHECKING:
    from KSR import Ksr

ON_REPLY = "on_bye_reply"
# Call-ID -> epoch ms of the 200.
_TALKING = "talking"
_OK = 200
_NEGATIVE = 300


def begins(ksr: Ksr, call_id: str) -> None:
    """A node has answered a panel's call (also each time it repeats its 200)."""
    if ksr.htable.sht_get(_TALKING, call_id) is None:
        ksr.htable.sht_sets(_TALKING, call_id, str(time.time_ns() // 1_000_000))


def ends(ksr: Ksr, call_id: str) -> None:
    """A BYE is on its way, of a panel's leg or of a stage's.

    When this proxy was started again during the call, nobody knows how long it was, nor whether there was a call: then
    the other side's answer to the BYE says so.
    """
    answered_at_ms = ksr.htable.sht_get(_TALKING, call_id)
    if answered_at_ms is not None:
        ksr.htable.sht_rm(_TALKING, call_id)
        story.ended(ksr, call_id, max(0, time.time_ns() // 1_000_000 - int(answered_at_ms)))
    elif stage_calls.USER not in (ksr.kx.get_fuser(), ksr.kx.get_tuser()):
        ksr.tm.t_on_reply(ON_REPLY)


def on_reply(ksr: Ksr) -> None:
    """The answer to the BYE of a call that nothing is known of."""
    if _OK <= ksr.kx.get_status() < _NEGATIVE:
        story.ended(ksr, ksr.kx.get_callid() or "", None)
