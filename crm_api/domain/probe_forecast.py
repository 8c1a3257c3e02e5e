"""A campaign played on a simulated clock: whom it would call when, and when it would end."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crm_api.domain.probe_plan import Planner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crm_api.domain.probe_hours import Hours
    from crm_api.domain.probe_plan import Candidate, Limits

TICK_MS: Final = 1000
"""The scheduler looks once a second."""


@dataclass(frozen=True)
class Planned:
    """One call of a dry run."""

    item_id: int
    panel: str
    at_ms: int


@dataclass(frozen=True)
class Forecast:
    """What a dry run tells.

    Args:
        first: the first calls, in order.
        calls: how many there are in all.
        begins_at_ms: the first call; None without one.
        ends_at_ms: the end of the last; None when hours never come for some.
        left: handsets whose hours never come.
    """

    first: tuple[Planned, ...]
    calls: int
    begins_at_ms: int | None
    ends_at_ms: int | None
    left: int


def forecast(
    hours: Hours, limits: Limits, candidates: Iterable[Candidate], now_ms: int, call_s: int, *, shown: int = 100
) -> Forecast:
    """Play a campaign in which every call lasts `call_s` and no visitor comes."""
    planner = Planner(hours, limits, candidates, now_ms)
    ends: list[tuple[int, int, Candidate]] = []
    first: list[Planned] = []
    calls, begins_at_ms, last_ms = 0, None, now_ms
    at_ms: int | None = now_ms
    while at_ms is not None:
        while ends and ends[0][0] <= at_ms:
            planner.ended(ends[0][2], heapq.heappop(ends)[0])
        for candidate in planner.due(at_ms, lambda _: True):
            begins_at_ms = at_ms if begins_at_ms is None else begins_at_ms
            if len(first) < shown:
                first.append(Planned(candidate.item_id, candidate.panel, at_ms))
            calls += 1
            last_ms = at_ms + call_s * 1000
            heapq.heappush(ends, (last_ms, calls, candidate))
        if planner.is_done:
            break
        full = len(planner.calling) >= limits.calls_at_once
        look_ms = None if full else planner.next_look_ms(at_ms)
        soonest = [moment for moment in (look_ms, ends[0][0] if ends else None) if moment is not None]
        at_ms = None if not soonest else max(at_ms + TICK_MS, -(-min(soonest) // TICK_MS) * TICK_MS)
    left = planner.waiting
    return Forecast(tuple(first), calls, begins_at_ms, None if left else last_ms, left)
