"""Relaying a request that has somewhere else to go when nothing can be sent where it was to go first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr

_NO_REPLY_OF_TM = 2


def relay_or_keep(ksr: Ksr) -> bool:
    """Relay; False when nothing could be sent, because the host has no route there or a name is not known.

    The transaction then lives on without a reply: the caller tries elsewhere or replies itself. Of its own accord tm
    would refuse the request with 477, and whatever is relayed after that goes nowhere.
    """
    return ksr.tm.t_relay_to_flags(_NO_REPLY_OF_TM) > 0
