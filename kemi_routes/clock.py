"""The time of day, in the unit in which the story of calls tells it; and a clock that nobody sets, for what lasts."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return epoch milliseconds."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Return milliseconds of a clock that nobody sets, the same in all processes of this host (CLOCK_MONOTONIC).

    For how long something lasts and how old it is: NTP puts the time of day back by seconds, or by an hour. What is
    kept by it ends with this host, as shared memory does.
    """
    return time.monotonic_ns() // 1_000_000
