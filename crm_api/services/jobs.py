"""Jobs: work that is done in the background, told with its progress, and done once or not at all.

A job belongs to the worker that has taken it while it keeps telling its progress. One that has been silent is given to
the next worker; the write of a job and its end are one transaction, so that the first worker, should it wake up, finds
that the job is no longer its own.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.problems import ConflictError
from crm_api.services.audit import AuditTrail, Entry
from crm_api.services.kept import Document, Listed
from crm_api.tables.fund import Job, JobFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crm_api.services.context import Context, Tenant
    from crm_api.services.kept import Expected

SILENT_MS: Final = 60_000
"""A running job without a sign of life for so long has lost its worker."""
ATTEMPTS: Final = 3
MOST_WAITING: Final = 20
"""Of one company."""
KEPT_MS: Final = 90 * 24 * 3_600_000

# Asked several times a second, so it costs one look at the index of unfinished jobs, and takes no lock.
_ANY: Final = """
SELECT 1 FROM jobs
WHERE finished_at_ms IS NULL AND (state = 'waiting' OR heartbeat_at_ms < ? OR heartbeat_at_ms > ?) LIMIT 1
"""
# A sign of life from the future was written before the clock was put back.
_ABANDONED: Final = """
SELECT id, attempts, result FROM jobs WHERE state = 'running' AND (heartbeat_at_ms < ? OR heartbeat_at_ms > ?)
"""
# Another worker may have found the same job in this moment, and be at work on it; or its own may have ended it.
_WAITS_AGAIN: Final = "UPDATE jobs SET state = 'waiting' WHERE id = ? AND state = 'running' AND attempts = ?"
_FIRST_OF_EACH: Final = """
SELECT min(id), company_id FROM jobs WHERE finished_at_ms IS NULL AND state = 'waiting' GROUP BY company_id
"""
_ATTEMPTS: Final = "SELECT attempts FROM jobs WHERE id = ?"
_WAITING: Final = """
SELECT count(*) FROM jobs WHERE finished_at_ms IS NULL AND state = 'waiting' AND company_id = ?
"""
_TAKE: Final = """
UPDATE jobs SET state = 'running', attempts = attempts + 1, rows_done = 0,
    started_at_ms = coalesce(started_at_ms, ?), heartbeat_at_ms = ?
WHERE id = ? AND state = ? AND attempts = ? RETURNING id
"""
_TOLD: Final = """
UPDATE jobs SET rows_done = ?, result = ?, heartbeat_at_ms = ?
WHERE id = ? AND state = 'running' AND attempts = ? RETURNING id
"""
_ENDED: Final = """
UPDATE jobs SET state = ?, result = ?, rows_done = ?, rows_total = ?, finished_at_ms = ?
WHERE id = ? AND state = 'running' AND attempts = ? RETURNING id
"""
_GIVEN_BACK: Final = "UPDATE jobs SET state = 'waiting', attempts = attempts - 1 WHERE id = ? AND attempts = ?"
_PRUNED: Final = "DELETE FROM jobs WHERE finished_at_ms < ?"


class JobLostError(Exception):
    """Another worker has this job, or it was ended: nothing more may be written for it."""


@dataclass(frozen=True)
class Taken:
    """A job that a worker has taken; `attempt` tells its turn from others' turns."""

    job_id: int
    attempt: int
    company_id: int
    kind: str
    options: dict[str, Any]
    made_by: str
    content: bytes
    so_far: dict[str, Any] | None = None
    """What came of it in earlier turns, of a job that is done piece by piece."""


class Jobs(Listed[Job]):
    """Jobs, newest first."""

    noun = "job"
    model = Job
    hidden = frozenset({"heartbeat_at_ms"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.when_told: Callable[[], None] = lambda: None
        """Called whenever a worker has told how far its job is."""
        self._turns = 0
        self._last_turns: dict[int, int] = {}
        """Of each company, by its id: what this worker has taken last. A worker that is new lets the oldest begin."""

    def documents(self, rows: Sequence[Job]) -> list[Document]:
        """Show jobs with their options and results as documents."""
        return [
            {
                **self.shown_of(row),
                "options": json.loads(str(row.options)),
                "result": None if row.result is None else json.loads(str(row.result)),
            }
            for row in rows
        ]

    def submit(
        self,
        tenant: Tenant,
        company_id: int,
        kind: str,
        options: dict[str, Any],
        content: bytes,
        *,
        rows: int,
        at_once: bool = False,
    ) -> int:
        """Keep a job until a worker takes it; return its id.

        Raises:
            ConflictError: as many jobs of the company wait as may; one that its maker takes `at_once` does not.
        """
        with self.database.transaction():
            waiting = 0 if at_once else self.database.rows(_WAITING, (company_id,))[0][0]
            if waiting >= MOST_WAITING:
                raise ConflictError(
                    f"{waiting} jobs of company {company_id} wait: wait for the end of some, or remove what is not "
                    "wanted any more (DELETE /v1/jobs/{id}), then send this again"
                )
            row = Job.create(
                company_id=company_id,
                kind=kind,
                state="waiting",
                options=json.dumps(options),
                made_by=tenant.name or "platform",
                created_at_ms=self.context.now_ms(),
                attempts=0,
                rows_total=rows,
                rows_done=0,
            )
            JobFile.insert(job_id=row.id, content=content).execute()
            return int(str(row.id))

    def removed(self, tenant: Tenant, key: int, expected: Expected = None) -> None:  # noqa: ARG002 - as `Kept` has it
        """Remove a job that waits or has ended.

        Raises:
            ConflictError: it runs.
        """
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.state == "running":
                raise ConflictError("The job runs: wait for its end")
            entry = Entry(self.noun, str(key), "remove", self.documents([row])[0], None, row.company_id)
            row.delete_instance()
            AuditTrail(self.context).write(tenant, [entry])

    def take(self, job_id: int | None = None) -> Taken | None:
        """Take a job that waits (or this one), None when there is none.

        It is the oldest of the company whose turn it is: of those whose jobs wait, the one whose last turn is longest
        ago. Who has many waits for his own.
        """
        now_ms = self.context.now_ms()
        if job_id is None and self.database.row(_ANY, (now_ms - SILENT_MS, now_ms + SILENT_MS)) is None:
            return None
        with self.database.transaction():
            if job_id is None:
                self._take_from_the_silent(now_ms)
            found = self._next() if job_id is None else (job_id, 0)
            if found is None or not self.database.rows(_TAKE, (now_ms, now_ms, found[0], "waiting", found[1])):
                return None
            row = Job.get_by_id(found[0])
            content = bytes(JobFile.get_by_id(found[0]).content)
            so_far = None if row.result is None else json.loads(str(row.result))
            if job_id is None:
                self._turns += 1
                self._last_turns[int(row.company_id)] = self._turns
            options = json.loads(str(row.options))
            return Taken(row.id, row.attempts, row.company_id, row.kind, options, row.made_by, content, so_far)

    def tell(self, taken: Taken, rows_done: int, so_far: dict[str, Any] | None = None) -> None:
        """Tell how far a job is, and that its worker lives; with `so_far`, in the transaction that did that much.

        Raises:
            JobLostError: it is no longer this worker's; what was done in the transaction must not be committed.
        """
        told = None if so_far is None else json.dumps(so_far, ensure_ascii=False)
        with self.database.transaction():
            self._own(_TOLD, (rows_done, told, self.context.now_ms(), taken.job_id, taken.attempt))
        self.when_told()

    def end(self, taken: Taken, state: str, result: dict[str, Any], rows: int) -> None:
        """End a job, inside the transaction that writes what it has made.

        Raises:
            JobLostError: it is no longer this worker's; the transaction must not be committed.
        """
        told = json.dumps(result, ensure_ascii=False)
        self._own(_ENDED, (state, told, rows, rows, self.context.now_ms(), taken.job_id, taken.attempt))
        JobFile.delete().where(JobFile.job_id == taken.job_id).execute()

    def give_back(self, taken: Taken) -> None:
        """Let another worker begin the job anew: this one has to stop."""
        with self.database.transaction():
            self.database.rows(_GIVEN_BACK, (taken.job_id, taken.attempt))

    def prune(self) -> None:
        """Remove jobs that ended long ago."""
        with self.database.transaction():
            self.database.rows(_PRUNED, (self.context.now_ms() - KEPT_MS,))

    def _next(self) -> tuple[int, int] | None:
        """Return the job whose turn it is, and how often it was tried."""
        first_of_each = self.database.rows(_FIRST_OF_EACH)
        if not first_of_each:
            return None
        job_id, _ = min(first_of_each, key=lambda first: (self._last_turns.get(first[1], 0), first[0]))
        attempts = self.database.row(_ATTEMPTS, (job_id,))
        return None if attempts is None else (job_id, attempts[0])

    def _own(self, statement: str, parameters: tuple[Any, ...]) -> None:
        if not self.database.rows(statement, parameters):
            raise JobLostError(f"job {parameters[-2]} is no longer this worker's")

    def _take_from_the_silent(self, now_ms: int) -> None:
        """Have jobs of lost workers wait again; give up those that have lost several."""
        silent = (now_ms - SILENT_MS, now_ms + SILENT_MS)
        for job_id, attempts, result in self.database.rows(_ABANDONED, silent):
            if attempts < ATTEMPTS:
                self.database.rows(_WAITS_AGAIN, (job_id, attempts))
            else:
                written = "nothing was written" if result is None else "a part was done, and doing it again is harmless"
                why = {"error": f"the worker was lost {attempts} times: {written}; look at its log"}
                lost = Taken(job_id, attempts, 0, "", {}, "", b"")
                with contextlib.suppress(JobLostError):
                    self.end(lost, "failed", why, 0)
