"""What a job of the schedule is given: its run, and a way to tell how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import threading

    from crm_api.services.job_runs import JobRuns, Run


class StoppedError(Exception):
    """The process has to end: the run is given back, and another process goes on with it."""


@dataclass(frozen=True)
class Telling:
    """A run in the hands of this process."""

    run: Run
    runs: JobRuns
    stopped: threading.Event

    def tell(self, done: int, total: int | None = None) -> None:
        """Tell how far the run is; call it every few seconds, in the transaction of what was done.

        Raises:
            RunLostError: another process has the run.
            StoppedError: this process has to end.
        """
        if self.stopped.is_set():
            raise StoppedError
        self.runs.tell(self.run, done, total)


Job = Callable[[Telling], dict[str, Any]]
"""Does one run; returns what its result says. What it has done when it is lost, the next attempt must not do again."""


class Step(Protocol):
    """Something that is done again and again beside the jobs, a little at a time, by the acting scheduler alone."""

    name: str

    def is_due(self) -> bool:
        """Say whether `step` would find anything to do; asked each second in the thread of the beat: one statement."""

    def step(self, stopped: threading.Event) -> None:
        """Do what there is to do, for some seconds at most."""
