"""How full a city's pool of numbers is, and when it will be empty at the pace of the last days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SOON_DAYS: Final = 3.0
"""A pool that will be empty so soon is told of, however many numbers are free now."""
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class PoolState:
    """Numbers in service (without the shared one), how many are held, and when to tell."""

    numbers: int
    held: int
    low_percent: int
    keep_s: int


def forecast(state: PoolState, spans: Sequence[tuple[int, int]], now_ms: int, days: int) -> dict[str, Any]:
    """Tell of a pool: `numbers held free free_percent peak gone_in_days running_out`.

    The forecast is a straight line through the most numbers held at once on each of the last days (least squares): a
    pool grows short by more calls a day, and by calls of more panels at once; both show in this peak.

    Args:
        state: the pool now.
        spans: (begin, end) of every lease of the last days, epoch ms.
        now_ms: now.
        days: how many days the spans cover.
    """
    peaks = daily_peaks(spans, now_ms, days)
    free = max(0, state.numbers - state.held)
    percent = 100 * free // state.numbers if state.numbers else 0
    gone = days_until(peaks, state.numbers)
    return {
        "numbers": state.numbers,
        "held": state.held,
        "free": free,
        "free_percent": percent,
        "peak": max([state.held, *peaks]),
        "gone_in_days": gone,
        "running_out": percent <= state.low_percent or (gone is not None and gone <= SOON_DAYS),
    }


def daily_peaks(spans: Sequence[tuple[int, int]], now_ms: int, days: int) -> list[int]:
    """Return the most leases at once on each of the last `days` times 24 hours, oldest first."""
    first_ms = now_ms - days * _DAY_MS
    peaks = []
    for day in range(days):
        begin, end = first_ms + day * _DAY_MS, first_ms + (day + 1) * _DAY_MS
        moments: list[tuple[int, int]] = []
        for since, until in spans:
            if since < end and until > begin:
                moments += [(max(since, begin), 1), (until, -1)]
        now_held = most = 0
        for _, step in sorted(moments):
            now_held += step
            most = max(most, now_held)
        peaks.append(most)
    return peaks


def days_until(peaks: Sequence[int], numbers: int) -> float | None:
    """Return after how many days the line through the peaks reaches the number of numbers; None: not within a year."""
    count = len(peaks)
    if count < 2 or not any(peaks):  # noqa: PLR2004 - a line needs two points
        return None
    mean_day, mean_peak = (count - 1) / 2, sum(peaks) / count
    spread = sum((day - mean_day) ** 2 for day in range(count))
    slope = sum((day - mean_day) * (peak - mean_peak) for day, peak in enumerate(peaks)) / spread
    today = mean_peak + slope * (count - 1 - mean_day)
    if today >= numbers:
        return 0.0
    if slope <= 0:
        return None
    left = (numbers - today) / slope
    return round(left, 1) if left <= 365 else None  # noqa: PLR2004 - days of a year
