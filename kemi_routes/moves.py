"""How often a call has left a node for another one.

The nodes before may not know, or tell an end as they go: whoever tells an end says how often the call had moved by then
(docs/decisions/0018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr

_MOVED = "moved"


def of(ksr: Ksr, call_id: str) -> int:
    """Return how often a call has moved."""
    count = ksr.htable.sht_get(_MOVED, call_id)
    return count if isinstance(count, int) else 0


def leaves(ksr: Ksr, call_id: str) -> int:
    """Note that the call goes on without the node that it had; return how often it has moved now."""
    count = of(ksr, call_id) + 1
    ksr.htable.sht_seti(_MOVED, call_id, count)
    return count
