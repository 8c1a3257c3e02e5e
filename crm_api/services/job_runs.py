"""Runs of scheduled jobs: taken by the scheduler, told with their progress, ended once.

A run belongs to the process that has taken it while it keeps telling. One that has been silent is given to the next;
what a run writes is written together with `tell`, so that a process that wakes up late finds the run no longer its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crm_api.services.kept import Document, Listed
from crm_api.tables.schedule import JobRun

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from crm_api.services.context import Context

SILENT_MS: Final = 30_000
"""A run without a sign of life for so long has lost its process."""
ATTEMPTS: Final = 5
RETRY_MS: Final = 60_000
"""Between a failure and the next attempt."""
KEPT_MS: Final = 400 * 86_400_000

# Runs that wait, then those that are silent. A sign of life from the future was written before the clock was put back.
# Without "finished" the index of open runs would not be used, but the runs of a year be read.
_TO_TAKE: Final = """
SELECT id, attempts FROM job_runs WHERE finished_at_ms IS NULL AND (state = 'waiting' AND not_before_ms <= ?
    OR state = 'running' AND (heartbeat_at_ms < ? OR heartbeat_at_ms > ?)) ORDER BY state DESC, id
"""
_TAKE: Final = """
UPDATE job_runs SET state = 'running', attempts = attempts + 1, holder = ?, heartbeat_at_ms = ?,
    started_at_ms = coalesce(started_at_ms, ?)
WHERE id = ? AND attempts = ? AND state IN ('waiting', 'running')
RETURNING attempts, job_id, company_id, kind, slot, due_at_ms
"""
_TELL: Final = """
UPDATE job_runs SET heartbeat_at_ms = ?, done = ?, total = ? WHERE id = ? AND state = 'running' AND attempts = ?
RETURNING id
"""
_END: Final = """
UPDATE job_runs SET state = ?, result = ?, finished_at_ms = ?, heartbeat_at_ms = ?
WHERE id = ? AND state = 'running' AND attempts = ? RETURNING id
"""
_AGAIN: Final = """
UPDATE job_runs SET state = 'waiting', not_before_ms = ?, result = ?
WHERE id = ? AND state = 'running' AND attempts = ? RETURNING id
"""
_GIVE_BACK: Final = """
UPDATE job_runs SET state = 'waiting', attempts = attempts - 1
WHERE id = ? AND state = 'running' AND attempts = ? RETURNING id
"""
_PRUNE: Final = "DELETE FROM job_runs WHERE finished_at_ms < ?"


class RunLostError(Exception):
    """Another process has this run: nothing more may be written for it."""


@dataclass(frozen=True)
class Run:
    """A run that a process has taken; `attempt` tells its turn from others' turns."""

    run_id: int
    attempt: int
    job_id: int
    company_id: int | None
    kind: str
    slot: str
    due_at_ms: int


class JobRuns(Listed[JobRun]):
    """Runs, newest first."""

    noun = "run"
    model = JobRun

    def __init__(self, context: Context) -> None:
        super().__init__(context)

    def documents(self, rows: Sequence[JobRun]) -> list[Document]:
        """Show runs with their results and how long they took."""
        return [run_document(row) for row in rows]

    def take(self, holder: str, own: Collection[int] = ()) -> Run | None:
        """Take a run that waits, or one whose process is lost; None when there is none.

        Args:
            holder: who takes it.
            own: runs that this process does at the moment; they are not lost, whatever the clock says.
        """
        now_ms = self.context.now_ms()
        moments = (now_ms, now_ms - SILENT_MS, now_ms + SILENT_MS)
        if self.database.row(_TO_TAKE, moments) is None:
            return None  # most often; a transaction keeps other writers waiting
        with self.database.transaction():
            for run_id, attempts in self.database.rows(_TO_TAKE, moments):
                if run_id in own:
                    continue
                if attempts >= ATTEMPTS:
                    why = {"error": f"the scheduler was lost {attempts} times in this run; look at its log"}
                    lost = Run(run_id, attempts, 0, None, "", "", 0)
                    self.database.rows("UPDATE job_runs SET state = 'running' WHERE id = ?", (run_id,))
                    self._write(lost, "failed", why)
                    continue
                taken = self.database.row(_TAKE, (holder, now_ms, now_ms, run_id, attempts))
                if taken is not None:
                    return Run(run_id, *taken)
        return None

    def tell(self, run: Run, done: int, total: int | None) -> None:
        """Tell how far a run is and that its process lives; best inside the transaction of what it has done.

        Raises:
            RunLostError: it is no longer this process's.
        """
        with self.database.transaction():
            if not self.database.rows(_TELL, (self.context.now_ms(), done, total, run.run_id, run.attempt)):
                raise RunLostError(f"run {run.run_id} is no longer this process's")

    def end(self, run: Run, result: dict[str, Any]) -> None:
        """End a run well.

        Raises:
            RunLostError: it is no longer this process's.
        """
        with self.database.transaction():
            self._write(run, "done", result)

    def fail(self, run: Run, reason: str) -> None:
        """Have a run tried again later, or give it up after its last attempt."""
        with self.database.transaction():
            told = {"error": reason}
            if run.attempt >= ATTEMPTS:
                self._write(run, "failed", told)
                return
            later_ms = self.context.now_ms() + RETRY_MS * run.attempt
            self.database.rows(_AGAIN, (later_ms, _json(told), run.run_id, run.attempt))

    def give_back(self, run: Run) -> None:
        """Let another process go on with the run: this one has to stop."""
        with self.database.transaction():
            self.database.rows(_GIVE_BACK, (run.run_id, run.attempt))

    def prune(self) -> None:
        """Remove runs that ended long ago."""
        with self.database.transaction():
            self.database.rows(_PRUNE, (self.context.now_ms() - KEPT_MS,))

    def _write(self, run: Run, state: str, result: dict[str, Any]) -> None:
        now_ms = self.context.now_ms()
        if not self.database.rows(_END, (state, _json(result), now_ms, now_ms, run.run_id, run.attempt)):
            raise RunLostError(f"run {run.run_id} is no longer this process's")


def run_document(row: JobRun) -> Document:
    """Return what the API shows of a run."""
    shown: Document = {
        name: value for name, value in row.__data__.items() if name not in {"heartbeat_at_ms", "not_before_ms"}
    }
    shown["result"] = None if row.result is None else json.loads(str(row.result))
    started, finished = shown["started_at_ms"], shown["finished_at_ms"]
    shown["duration_ms"] = None if started is None or finished is None else max(0, finished - started)
    return shown


def _json(result: dict[str, Any]) -> str:
    return json.dumps(result, ensure_ascii=False)
