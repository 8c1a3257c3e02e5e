"""Percentiles of measured times, by the nearest-rank method: every value named was really measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """Value below or at which `share` (0 < share <= 1) of the sorted, non-empty `ordered` lies.

    Raises:
        ValueError: nothing was measured, or the share is out of range.
    """
    if not ordered:
        raise ValueError("no percentile of an empty series: check that the run completed at least one call")
    if not 0 < share <= 1:
        raise ValueError(f"share {share} is out of range: give a number above 0 and up to 1")
    return ordered[math.ceil(share * len(ordered)) - 1]


@dataclass(frozen=True)
class Times:
    """Distribution of a time, in milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, times_ms: Iterable[float]) -> Times:
        """Distribution of `times_ms`, in any order.

        Raises:
            ValueError: nothing was measured.
        """
        ordered = sorted(times_ms)
        p50, p95, p99 = (percentile(ordered, share) for share in (0.50, 0.95, 0.99))
        return cls(len(ordered), p50, p95, p99, ordered[-1])
