"""Which handset is called next: pure decisions on a given clock, for a real campaign, a dry run or a simulation.

Every panel has a queue of its own, for a panel carries one call at a time. Of the panels that may be called, the one
with the longest queue is called first (longest processing time first: Graham, Bounds on multiprocessing timing
anomalies, 1969), because it is the one that would be late in the end.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from crm_api.domain.probe_hours import Hours

RECHECK_MS: Final = 2000
"""A panel that was not free is looked at again after so long."""


@dataclass(frozen=True)
class Candidate:
    """A handset that waits for its call; `panel` is the account that is called for it."""

    item_id: int
    panel: str
    entrance_id: int
    not_before_ms: int = 0


@dataclass(frozen=True)
class Limits:
    """How much a campaign may call.

    Args:
        calls_at_once: of the campaign in all.
        entrance_calls_per_minute: starts of calls at one entrance.
        panel_pause_s: from the end of a call on a panel to the next.
        longest_call_s: no call begins that could not end inside the hours.
    """

    calls_at_once: int
    entrance_calls_per_minute: int
    panel_pause_s: int
    longest_call_s: int


class Planner:
    """Decides; the caller calls, and says how each call ended.

    Args:
        hours: when it may be called.
        limits: how much.
        candidates: who waits.
        now_ms: the moment.
    """

    def __init__(self, hours: Hours, limits: Limits, candidates: Iterable[Candidate], now_ms: int) -> None:
        self._limits = limits
        self._spans = hours.windows(now_ms)
        self._span: tuple[int, int] | None = next(self._spans, None)
        self._queues: dict[str, deque[Candidate]] = {}
        self._ready: list[tuple[int, str]] = []
        self._later: list[tuple[int, str]] = []
        self._entrance_free_ms: dict[int, int] = {}
        self._calling: dict[str, Candidate] = {}
        self.waiting = 0
        for candidate in sorted(candidates, key=lambda one: one.not_before_ms):
            self._queues.setdefault(candidate.panel, deque()).append(candidate)
            self.waiting += 1
        for panel in self._queues:
            heapq.heappush(self._later, (now_ms, panel))

    def take_over(self, calling: Iterable[Candidate]) -> None:
        """Go on with calls of an earlier plan, before any of this one has begun."""
        self._calling = {one.panel: one for one in calling}
        for panel in self._calling:
            self._queues.setdefault(panel, deque())
        self._later = [(at_ms, panel) for at_ms, panel in self._later if panel not in self._calling]
        heapq.heapify(self._later)

    @property
    def calling(self) -> Mapping[str, Candidate]:
        """Calls that have begun and not ended, by panel."""
        return self._calling

    @property
    def is_done(self) -> bool:
        """Say whether nobody waits and nobody is called."""
        return not self.waiting and not self._calling

    def window(self, now_ms: int) -> tuple[int, int] | None:
        """Return the hours that are now or come next and have room for a call; None when they never do."""
        longest_ms = self._limits.longest_call_s * 1000
        while self._span is not None and self._span[1] - longest_ms <= max(now_ms, self._span[0]):
            self._span = next(self._spans, None)
        return self._span

    def next_look_ms(self, now_ms: int) -> int | None:
        """Return when it is worth looking again, if no call ends before; None: never."""
        span = self.window(now_ms)
        if span is None or (not self._ready and not self._later):
            return None
        soonest = now_ms if self._ready else self._later[0][0]
        return max(soonest, span[0])

    def due(self, now_ms: int, is_free: Callable[[str], bool]) -> list[Candidate]:
        """Return whom to call now; each counts as being called from here on.

        Args:
            now_ms: the moment.
            is_free: says whether a panel is known to be free; asked last, for at most the calls that may begin.
        """
        span = self.window(now_ms)
        if span is None or now_ms < span[0]:
            return []
        while self._later and self._later[0][0] <= now_ms:
            panel = heapq.heappop(self._later)[1]
            if self._queues[panel]:
                heapq.heappush(self._ready, (-len(self._queues[panel]), panel))
        begun: list[Candidate] = []
        while self._ready and len(self._calling) < self._limits.calls_at_once:
            panel = heapq.heappop(self._ready)[1]
            candidate = self._queues[panel][0]
            wait_ms = max(candidate.not_before_ms, self._entrance_free_ms.get(candidate.entrance_id, 0))
            if wait_ms > now_ms:
                heapq.heappush(self._later, (wait_ms, panel))
            elif not is_free(panel):
                heapq.heappush(self._later, (now_ms + RECHECK_MS, panel))
            else:
                begun.append(self._begin(candidate, now_ms))
        return begun

    def ended(self, candidate: Candidate, now_ms: int, again_at_ms: int | None = None) -> None:
        """Say that a call has ended.

        Args:
            candidate: who was called.
            now_ms: when it ended.
            again_at_ms: call once more, not before this moment; None: this handset is done.
        """
        del self._calling[candidate.panel]
        queue = self._queues[candidate.panel]
        if again_at_ms is not None:
            again = Candidate(candidate.item_id, candidate.panel, candidate.entrance_id, again_at_ms)
            # From behind: who may be called now must not wait for somebody who may be called in days only.
            later = sum(1 for _ in takewhile(lambda other: other.not_before_ms > again_at_ms, reversed(queue)))
            queue.insert(len(queue) - later, again)
            self.waiting += 1
        if queue:
            heapq.heappush(self._later, (now_ms + self._limits.panel_pause_s * 1000, candidate.panel))

    def _begin(self, candidate: Candidate, now_ms: int) -> Candidate:
        self._queues[candidate.panel].popleft()
        self.waiting -= 1
        self._calling[candidate.panel] = candidate
        self._entrance_free_ms[candidate.entrance_id] = now_ms + 60_000 // self._limits.entrance_calls_per_minute
        return candidate


def best_possible_ms(durations_ms: Mapping[str, Iterable[int]], limits: Limits) -> int:
    """Return a time that no plan can beat, for the calls of each panel.

    Two bounds hold for every plan, and the greater is returned: all calls together share `calls_at_once` lines, so they
    take at least their sum divided by that; and the calls of one panel come one after another with a pause between.
    """
    whole, longest = 0, 0
    for durations in durations_ms.values():
        calls = list(durations)
        work = sum(calls)
        whole += work
        longest = max(longest, work + (len(calls) - 1) * limits.panel_pause_s * 1000)
    return max(-(-whole // limits.calls_at_once), longest)
