"""The timetable: which slots of which jobs have come; each becomes one run, whoever looks and however often.

A slot that was missed while nobody looked is run once when somebody does; of several slots of one job the last one is
run, and says how many it stands for. The clock may jump: what has run is known by name, not by comparing times.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from crm_api.domain.slots import Slot, latest_due, slot_after, slot_from, slot_named
from crm_api.domain.zones import UnreadableZoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.services.context import Context


@dataclass(frozen=True)
class Kind:
    """A kind of job: its name, its usual times, whether each company has one of its own."""

    name: str
    cron: str
    of_companies: bool = False


KINDS: Final = (
    Kind("clean_up", "20 2 * * *"),
    Kind("billing", "40 1 * * *"),
    Kind("access_codes", "0 5 * * 1", of_companies=True),
)
PLATFORM_ZONE: Final = "UTC"
JUMP_MS: Final = 1000
"""By more than this the clock does not go wrong between two looks: it was set."""

_log = structlog.get_logger("crm_api.timetable")

_MISSING: Final = """
INSERT INTO scheduled_jobs (company_id, kind, cron, enabled)
SELECT c.id, ?, ?, ? FROM companies c
WHERE NOT EXISTS (SELECT 1 FROM scheduled_jobs j WHERE j.kind = ? AND j.company_id = c.id) ON CONFLICT DO NOTHING
"""
_MISSING_OF_PLATFORM: Final = """
INSERT INTO scheduled_jobs (company_id, kind, cron, enabled)
SELECT NULL, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM scheduled_jobs WHERE kind = ?) ON CONFLICT DO NOTHING
"""
_JOBS: Final = """
SELECT j.id, j.company_id, j.kind, j.cron, coalesce(j.zone, t.time_zone, ?), j.next_slot, j.next_at_ms
FROM scheduled_jobs j LEFT JOIN companies c ON c.id = j.company_id LEFT JOIN cities t ON t.id = c.city_id
WHERE j.enabled = ?
ORDER BY j.id
"""
_HAS_RUN: Final = "SELECT 1 FROM job_runs WHERE job_id = ? AND slot = ?"
_MOVE: Final = """
UPDATE scheduled_jobs SET next_slot = ?, next_at_ms = ?
WHERE id = ? AND coalesce(next_slot, '') = ? AND coalesce(next_at_ms, -1) = ? RETURNING id
"""
_RUN: Final = """
INSERT INTO job_runs (job_id, company_id, kind, slot, due_at_ms, slots_missed, started_by, state, not_before_ms,
    attempts, done)
VALUES (?, ?, ?, ?, ?, ?, 'schedule', 'waiting', 0, 0, 0)
ON CONFLICT (job_id, slot) DO NOTHING RETURNING id
"""


class _Job(NamedTuple):
    """A row of `_JOBS`; a tuple, for a thousand of them are made and compared each second."""

    job_id: int
    company_id: int | None
    kind: str
    cron: str
    zone: str
    next_slot: str | None
    next_at_ms: int | None


class Timetable:
    """Turns time into runs."""

    def __init__(self, context: Context, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._monotonic_s = monotonic_s
        self._looked_ms, self._looked_s = 0, 0.0
        self._right: dict[int, _Job] = {}
        """Jobs whose next slot has been worked out anew, and was right: so it stays while the clock goes on."""
        self._unreadable: dict[int, str] = {}
        """Zones of jobs that could not be read, and have been told."""

    def fill(self) -> None:
        """Make the jobs that are missing: the platform's, and those of new companies."""
        with self._context.database.transaction():
            for kind in KINDS:
                statement = _MISSING if kind.of_companies else _MISSING_OF_PLATFORM
                self._context.database.rows(statement, (kind.name, kind.cron, True, kind.name))

    def look(self) -> int:
        """Make a run of every slot that has come; return how many were made."""
        now_ms = self._context.now_ms()
        if self._was_set(now_ms):
            self._right.clear()
        rows = self._context.database.rows(_JOBS, (PLATFORM_ZONE, True))
        return sum(self._look_past_unreadable(_Job(*row), now_ms) for row in rows)

    def _was_set(self, now_ms: int) -> bool:
        """Say whether somebody has set the clock since the last look."""
        now_s = self._monotonic_s()
        expected_ms = self._looked_ms + (now_s - self._looked_s) * 1000
        self._looked_ms, self._looked_s = now_ms, now_s
        return abs(now_ms - expected_ms) > JUMP_MS

    def _look_past_unreadable(self, job: _Job, now_ms: int) -> bool:
        """Look at one job; one whose zone cannot be read waits until it has another, told once, and keeps none back."""
        try:
            made = self._look_at(job, now_ms)
        except UnreadableZoneError as error:
            if self._unreadable.get(job.job_id) != job.zone:
                _log.error("a job does not run", job=job.job_id, kind=job.kind, reason=str(error))
                self._unreadable[job.job_id] = job.zone
            return False
        self._unreadable.pop(job.job_id, None)
        return made

    def _look_at(self, job: _Job, now_ms: int) -> bool:
        """Look at one job; say whether a run was made."""
        if job.next_slot is None or job.next_at_ms is None:
            self._move(job, slot_from(job.cron, job.zone, now_ms))
            return False
        waited_for = Slot(job.next_slot, job.next_at_ms)
        if waited_for.due_at_ms > now_ms and self._right.get(job.job_id) == job:
            return False
        first = slot_named(job.zone, job.next_slot)
        # In the zone that the city has got since its hour may have passed: it is due, and must not be left out. Or it
        # may be to come, though while no scheduler ran it passed in the old one.
        if first.due_at_ms > now_ms:
            self._wait(job, waited_for, now_ms)
            return False
        slot, following, missed = latest_due(job.cron, job.zone, first, now_ms)
        with self._context.database.transaction():
            if not self._move(job, following):
                return False
            made = self._context.database.rows(
                _RUN, (job.job_id, job.company_id, job.kind, slot.name, slot.due_at_ms, missed)
            )
        return bool(made)

    def _wait(self, job: _Job, waited_for: Slot, now_ms: int) -> None:
        """Wait for the right slot: the first that has not run. The clock may have been ahead, or the zone another."""
        wanted = self._not_run(job, slot_from(job.cron, job.zone, now_ms), waited_for.due_at_ms)
        if wanted == waited_for:
            self._right[job.job_id] = job
        else:
            self._move(job, wanted)

    def _not_run(self, job: _Job, slot: Slot, limit_ms: int) -> Slot:
        while slot.due_at_ms < limit_ms and self._context.database.row(_HAS_RUN, (job.job_id, slot.name)) is not None:
            slot = slot_after(job.cron, job.zone, slot.name)
        return slot

    def _move(self, job: _Job, slot: Slot) -> bool:
        """Set the next slot; say whether nobody else has meanwhile."""
        with self._context.database.transaction():
            before = (job.next_slot or "", -1 if job.next_at_ms is None else job.next_at_ms)
            return bool(self._context.database.rows(_MOVE, (slot.name, slot.due_at_ms, job.job_id, *before)))
