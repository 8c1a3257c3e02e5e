"""A simulated night of probes over a city: every handset is called while visitors come by the curve of a real day.

The planner is the real one; the clock, the panels and the visitors are simulated. What is checked at every moment: no
panel has two calls, and a visitor who finds a probe on his panel has it to himself within a second.
"""

from __future__ import annotations

import heapq
import random
import resource
import time
from dataclasses import dataclass, field
from typing import Final

from crm_api.domain.probe_hours import Hours
from crm_api.domain.probe_plan import Candidate, Limits, Planner, best_possible_ms
from scheduler.probe_watch import LOOK_S, SORRY_S

# Share of a day's calls in each hour, midnight first: quiet nights, a morning peak, an evening one (sum 1000).
HOURLY: Final = (6, 4, 3, 2, 3, 6, 16, 34, 48, 50, 50, 52, 56, 56, 56, 58, 64, 78, 92, 92, 76, 52, 30, 16)
CALLS_A_DAY: Final = 65_000
STORY_MS: Final = 100
"""How often Kamailio writes who has which panel (kamailio.cfg, `on_story_tick`)."""
NOTICED_MS: Final = STORY_MS + round(1000 * LOOK_S)
"""At the latest the scheduler notices a visitor then, should Kamailio not have ended the probe itself."""
SORRY_MS: Final = round(1000 * SORRY_S)
"""How long the resident hears why."""
VISITOR_MS: Final = (10_000, 70_000)
PROBE_MS: Final = (9_000, 22_000)
NIGHT: Final = Hours("UTC", dict.fromkeys(range(7), ((0, 420), (1320, 1440))))
LIMITS: Final = Limits(calls_at_once=220, entrance_calls_per_minute=2, panel_pause_s=60, longest_call_s=30)
BEGIN_MS: Final = 1_795_471_200_000  # 2026-11-23 22:00 UTC
DAY_MS: Final = 86_400_000
_TICK_MS: Final = 1000


@dataclass
class Night:
    """What came of a night."""

    calls: int = 0
    dropped: int = 0
    visitors: int = 0
    two_calls_on_a_panel: int = 0
    longest_visitor_wait_ms: int = 0
    length_ms: int = 0
    best_possible_ms: int = 0
    planner_s: float = 0.0
    memory_mb: float = 0.0
    done: set[int] = field(default_factory=set)

    @property
    def ratio(self) -> float:
        """Length of the campaign by the best possible one."""
        return self.length_ms / self.best_possible_ms


def _visitors(rng: random.Random, panels: int, until_ms: int) -> list[tuple[int, int, int]]:
    """Return (moment, panel, length) of every visitor's call, by the curve of the day."""
    calls = []
    at_ms = BEGIN_MS
    while at_ms < until_ms:
        hour = at_ms // 3_600_000 % 24
        at_ms += int(rng.expovariate(CALLS_A_DAY * HOURLY[hour] / 1000 / 3_600_000))
        calls.append((at_ms, rng.randrange(panels), rng.randint(*VISITOR_MS)))
    return calls


def play(panels: int, handsets: int, seed: int = 1, limits: Limits = LIMITS) -> Night:
    """Play one night, until every handset was called."""
    rng = random.Random(seed)
    night = Night()
    sizes = [rng.choice((8, 12, 16, 20, 36)) for _ in range(panels)]
    owners = rng.choices(range(panels), sizes, k=handsets)
    candidates = [Candidate(item, f"p{panel}", panel) for item, panel in enumerate(owners)]
    visitors = iter(_visitors(rng, panels, BEGIN_MS + 3 * DAY_MS))
    needed: dict[str, list[int]] = {}
    started_s = time.process_time()
    planner = Planner(NIGHT, limits, candidates, BEGIN_MS)
    night.planner_s += time.process_time() - started_s
    busy_until: dict[str, int] = {}
    running: dict[str, tuple[int, int]] = {}
    ends: list[tuple[int, int, int, Candidate]] = []
    visitor = next(visitors)
    turn = 0
    at_ms: int | None = BEGIN_MS
    while at_ms is not None:
        # Everything up to this tick, in order: visitors take over, probes end.
        while True:
            end_ms = ends[0][0] if ends else None
            if visitor[0] <= at_ms and (end_ms is None or visitor[0] <= end_ms):
                _visit(night, planner, running, busy_until, visitor)
                visitor = next(visitors)
            elif end_ms is not None and end_ms <= at_ms:
                ended_ms, number, began_ms, candidate = heapq.heappop(ends)
                if running.get(candidate.panel) == (number, began_ms):
                    del running[candidate.panel]
                    planner.ended(candidate, ended_ms)
                    night.done.add(candidate.item_id)
                    needed.setdefault(candidate.panel, []).append(ended_ms - began_ms)
                    night.length_ms = ended_ms
            else:
                break
        begun_s = time.process_time()
        begun = planner.due(at_ms, lambda panel, now=at_ms: busy_until.get(panel, 0) <= now)  # type: ignore[misc]
        night.planner_s += time.process_time() - begun_s
        for candidate in begun:
            turn += 1
            night.calls += 1
            if candidate.panel in running or busy_until.get(candidate.panel, 0) > at_ms:
                night.two_calls_on_a_panel += 1
            running[candidate.panel] = (turn, at_ms)
            heapq.heappush(ends, (at_ms + rng.randint(*PROBE_MS), turn, at_ms, candidate))
        if planner.is_done:
            break
        look_ms = None if len(planner.calling) >= limits.calls_at_once else planner.next_look_ms(at_ms)
        moments = [moment for moment in (look_ms, ends[0][0] if ends else None, visitor[0]) if moment is not None]
        at_ms = max(at_ms + _TICK_MS, -(-min(moments) // _TICK_MS) * _TICK_MS)
    night.length_ms = _open_ms(night.length_ms)
    night.best_possible_ms = best_possible_ms(needed, limits)
    night.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return night


def _visit(
    night: Night,
    planner: Planner,
    running: dict[str, tuple[int, int]],
    busy_until: dict[str, int],
    visitor: tuple[int, int, int],
) -> None:
    """Let a visitor begin a call; a probe on that panel is noticed at the next look, dropped and queued again."""
    at_ms, number, length_ms = visitor
    panel = f"p{number}"
    night.visitors += 1
    wait_ms = 0
    if panel in running:
        wait_ms = (-at_ms % NOTICED_MS or NOTICED_MS) + SORRY_MS
        del running[panel]
        candidate = planner.calling[panel]
        planner.ended(candidate, at_ms + wait_ms, at_ms + wait_ms + length_ms)
        night.dropped += 1
    night.longest_visitor_wait_ms = max(night.longest_visitor_wait_ms, wait_ms)
    busy_until[panel] = max(busy_until.get(panel, 0), at_ms + wait_ms + length_ms)


def _open_ms(end_ms: int) -> int:
    """Return how much time inside the hours lies between the beginning and a moment."""
    return sum(
        max(0, min(end, end_ms) - max(begin, BEGIN_MS)) for begin, end in NIGHT.windows(BEGIN_MS) if begin < end_ms
    )
