"""Jobs are done here: each by whoever knows its kind, with one boundary for all that can go wrong."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import structlog

from crm_api.domain.problems import ProblemError
from crm_api.services.jobs import JobLostError
from crm_api.tables.database import DatabaseErrors, ValueErrors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crm_api.services.jobs import Jobs, Taken

_log = structlog.get_logger("crm_api.jobs")


class StopAskedError(Exception):
    """The worker has to end: the job is given back."""


class Doer(Protocol):
    """Knows how jobs of a kind are done."""

    when_failed: str
    """What has come of a job that failed as a whole."""

    def do(self, taken: Taken, stopped: threading.Event) -> None:
        """Do the job and end it.

        Raises:
            StopAskedError: `stopped` was set before the end.
            JobLostError: another worker has it.
        """


class JobWork:
    """Takes jobs that wait, of one company after the other."""

    def __init__(self, jobs: Jobs, doers: Mapping[str, Doer]) -> None:
        """Take the doer for each first word of a job's kind."""
        self._jobs = jobs
        self._doers = doers

    def work(self, stopped: threading.Event) -> bool:
        """Do one job that waits; say whether there was one."""
        taken = self._jobs.take()
        if taken is None:
            return False
        run_job(self._jobs, taken, self._doers[taken.kind.partition(" ")[0]], stopped)
        return True


def run_job(jobs: Jobs, taken: Taken, doer: Doer, stopped: threading.Event | None = None) -> None:
    """Do a job. A lost job is left to whoever has it; a database that is away raises, and the job is done anew."""
    log = _log.bind(job_id=taken.job_id, kind=taken.kind, attempt=taken.attempt)
    try:
        doer.do(taken, stopped or threading.Event())
    except StopAskedError:
        jobs.give_back(taken)
        log.info("given back")
    except JobLostError as error:
        log.warning("lost", reason=str(error))
    except DatabaseErrors:
        raise
    except (ProblemError, *ValueErrors) as error:
        detail = error.detail if isinstance(error, ProblemError) else str(error).splitlines()[0]
        _fail(jobs, taken, f"{doer.when_failed}: {detail}. Somebody else has changed the same rows: try again")
        log.warning("failed", reason=detail)
    except Exception:  # the boundary of a job: a fault of ours must not end the worker, and is never tried again
        log.exception("fault")
        _fail(jobs, taken, f"{doer.when_failed}, by a fault of ours: tell us the id of this job")
    else:
        log.info("done")


def _fail(jobs: Jobs, taken: Taken, why: str) -> None:
    try:
        with jobs.database.transaction():
            jobs.end(taken, "failed", {"error": why}, 0)
    except JobLostError as error:
        _log.warning("lost", job_id=taken.job_id, reason=str(error))
