"""Finds the highest rate that is sustained without a failure: up a ladder of rates, then bisecting."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def find_ceiling(
    sustains: Callable[[float], bool],
    rates: Sequence[float],
    *,
    resolution: float,
    time_left: Callable[[], bool],
    floor: float = 0.0,
) -> float:
    """Highest rate that was run and sustained.

    Args:
        sustains: runs the load at a rate; whether there was no failure.
        rates: the ladder, growing.
        resolution: bisecting ends when the sustained and the failed rate are this close.
        time_left: asked before every run; False ends the search with what is known.
        floor: a rate already known to be sustained, 0 for none.
    """
    best, failed = floor, 0.0
    for rate in rates:
        if rate <= best:
            continue
        if not time_left():
            return best
        if not sustains(rate):
            failed = rate
            break
        best = rate
    while failed and failed - best > resolution and time_left():
        middle = (best + failed) / 2
        if sustains(middle):
            best = middle
        else:
            failed = middle
    return best
