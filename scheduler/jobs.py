"""Every kind of job by name: what a run of it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.services.job_runs import JobRuns

if TYPE_CHECKING:
    from crm_api.config import CrmConfig
    from crm_api.services.context import Context
    from scheduler.work import Job, Telling


def make_jobs(context: Context, config: CrmConfig) -> dict[str, Job]:
    """Return what does a run, by the kinds of `crm_api.services.timetable`."""
    del config
    runs = JobRuns(context)

    def clean_up(_: Telling) -> dict[str, Any]:
        runs.prune()
        return {}

    return {"clean_up": clean_up}
