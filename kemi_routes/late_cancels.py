"""A CANCEL that meets the first reply to its INVITE: tm misses both, so the call is cancelled again a moment later.

A branch that has said nothing yet gets its CANCEL with its first reply (RFC 3261, 9.1). One worker has the CANCEL and
finds no reply, another has the reply and finds no CANCEL: the visitor has left, and is told so, but his node rings the
apartment, or the dispatch centre, for as long as it would for him. Of calls to 112 that were cancelled at once, this
became of one in 2,000.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from kemi_routes.clock import steady_ms

if TYPE_CHECKING:
    from KSR import Ksr

QUEUE: Final = "cancels"
AGAIN_MS: Final = 100
"""By then both workers are through."""


def passed(ksr: Ksr, call_id: str) -> None:
    """Note that the CANCEL at hand has been sent on."""
    ksr.mqueue.mq_add(QUEUE, call_id, f"{ksr.pv.get('$cs')} {steady_ms()}")


class LateCancels:
    """Cancels again, in a process of its own."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str, int]] = deque()

    def tick(self, ksr: Ksr) -> None:
        """Cancel what was cancelled a moment ago. Of a branch that has its CANCEL, or is over, tm sends none again."""
        while ksr.mqueue.mq_fetch(QUEUE) > 0:
            call_id, note = ksr.mqueue.mqk_get(QUEUE), ksr.mqueue.mqv_get(QUEUE)
            ksr.mqueue.mq_pv_free(QUEUE)
            cseq, _, at_ms = str(note).partition(" ")
            self._waiting.append((str(call_id), cseq, int(at_ms)))
        until_ms = steady_ms() - AGAIN_MS
        while self._waiting and self._waiting[0][2] <= until_ms:
            call_id, cseq, _ = self._waiting.popleft()
            ksr.tmx.t_cancel_callid(call_id, cseq, 0)
