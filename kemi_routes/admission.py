"""Overload: how many new calls are let in. Emergency calls always are.

Two bounds: calls per second, and calls let in that have neither rung nor ended. The second follows the servers: when
Asterisk slows down, silent calls pile up and new ones are refused until it catches up. Both are counted by second, so
that a count that is never taken back (a worker that died) is gone after a few seconds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kemi_routes.pipeline import NEXT, Refusal
from kemi_routes.replies import refuse, retry_after

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

_ADMITTED = "admitted"
_SILENT = "silent"
# A silent call counts for this long; by then it has been answered by a node, or failed over, or refused.
_SILENT_S = 3


def _count(ksr: Ksr, table: str, second: int) -> int:
    value = ksr.htable.sht_get(table, str(second))
    return value if isinstance(value, int) else 0


def _over(ksr: Ksr, request: Request) -> str | None:
    """Name the bound that is reached, or None. The rate is that of a window sliding over two seconds."""
    now = time.time()
    second = int(now)
    settings = request.settings
    rate = _count(ksr, _ADMITTED, second) + _count(ksr, _ADMITTED, second - 1) * (1 - (now - second))
    if rate >= settings.new_calls_per_s:
        return f"overload: {rate:.0f} new calls within a second"
    silent = sum(_count(ksr, _SILENT, second - age) for age in range(_SILENT_S))
    if silent >= settings.silent_calls:
        return f"overload: {silent} calls have not rung yet"
    return None


def check_load(ksr: Ksr, request: Request) -> Outcome:
    """Refuse a new call before any work is spent on it."""
    if request.emergency:
        return NEXT
    reason = _over(ksr, request)
    if reason is None:
        return NEXT
    retry_after(ksr, request.settings.retry_after_s)
    return refuse(ksr, request, Refusal(503, "Overloaded", reason))


def take_token(ksr: Ksr, _request: Request) -> Outcome:
    """Count an authenticated call that is let in."""
    ksr.htable.sht_inc(_ADMITTED, str(int(time.time())))
    return NEXT


def silent_begins(ksr: Ksr) -> str:
    """Count a call that is sent to a node; the second it is counted in is the receipt for `silent_ends`."""
    second = str(int(time.time()))
    ksr.htable.sht_inc(_SILENT, second)
    return second


def silent_ends(ksr: Ksr, second: str) -> None:
    """Take back a call that rings or has ended."""
    if time.time() - int(second) < _SILENT_S:
        ksr.htable.sht_dec(_SILENT, second)
