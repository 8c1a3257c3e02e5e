"""Prints a call as it happens: one line per step, with the milliseconds since the visitor pressed the number."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(frozen=True)
class Step:
    """One line of the ladder."""

    after_ms: int
    who: str
    what: str


@dataclass
class Ladder:
    """The steps of one call.

    Attributes:
        began_s: monotonic time of the first step.
        out: where the lines go.
    """

    began_s: float = field(default_factory=time.monotonic)
    out: TextIO = field(default_factory=lambda: sys.stdout)
    steps: list[Step] = field(default_factory=list)

    def step(self, who: str, what: str, at_s: float | None = None) -> Step:
        """Print a step; `at_s` is when it happened, if not now (monotonic seconds)."""
        happened_s = time.monotonic() if at_s is None else at_s
        step = Step(max(0, round((happened_s - self.began_s) * 1000)), who, what)
        self.steps.append(step)
        print(f"  {step.after_ms:>6} ms   {step.who:<34} {step.what}", file=self.out, flush=True)
        return step
