"""The time of day, in the unit in which the story of calls tells it."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return epoch milliseconds."""
    return time.time_ns() // 1_000_000
