"""The threads in which jobs run: APScheduler's, told to begin now.

When something is due is decided by the timetable in the database, not by APScheduler's own times: those are kept in the
memory of one process and are late by an hour when the clock is put back by one.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS: Final = 8
HANDED_S: Final = 0.01
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Now(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Due at once, once, whatever the clock says."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:  # noqa: ARG002
        """Return a moment that has passed, the first time."""
        return _LONG_AGO if previous_fire_time is None else None


class Threads:
    """Runs functions beside one another; of one name only one at a time."""

    def __init__(self) -> None:
        self._scheduler: Any = BackgroundScheduler(
            timezone=UTC, executors={"default": ThreadPoolExecutor(WORKERS)}, job_defaults={"misfire_grace_time": None}
        )
        self._busy: set[str] = set()

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """Return when everything that was begun has ended."""
        while self._scheduler.get_jobs():  # APScheduler must not be ended while it hands something to a thread
            time.sleep(HANDED_S)
        self._scheduler.shutdown(wait=True)

    @property
    def busy(self) -> frozenset[str]:
        """Names of what waits or runs."""
        return frozenset(self._busy)

    def begin(self, name: str, work: Callable[[], None]) -> bool:
        """Run a function in a thread, unless one of this name runs; say whether it will."""
        if name in self._busy:
            return False
        self._busy.add(name)

        def run() -> None:
            try:
                work()
            finally:
                self._busy.discard(name)

        # Each has an id of its own: APScheduler hears late that one is over, and would leave out the next of its id.
        self._scheduler.add_job(run, Now(), name=name)
        return True
