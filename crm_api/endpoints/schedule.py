"""Scheduled jobs and their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import schedule as asked
from crm_api.domain.outputs import schedule as shown
from crm_api.resources.acts import Act
from crm_api.resources.declaration import ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept, listed

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

TAG: Final = "Schedule"


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
            "/v1/scheduled-jobs",
            tag=TAG,
            plural="scheduled jobs",
            service=services.scheduled_jobs,
            query=asked.ScheduledJobQuery,
            document=shown.ScheduledJobDocument,
            change=asked.ScheduledJobChange,
            removal=None,
            readers=reads("jobs"),
            writers=changes("jobs"),
        ),
        Endpoint(
            f"/v1/scheduled-jobs/{ID}/start",
            TAG,
            Act(services.scheduled_jobs.start),
            (
                Operation(
                    "POST",
                    "Start a scheduled job by hand",
                    changes("jobs"),
                    (Answer(200, "The job; its run waits", shown.ScheduledJobDocument, headers=("ETag",)),),
                    "It runs once as soon as the scheduler looks, also when it is switched off; its slots stay as "
                    "they are. What it does it does in earnest: `access_codes` gives each entrance of the company "
                    "a new code, and panels and residents are told. 409: it runs or waits to run.",
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("scheduled job"),
        ),
        listed(
            "/v1/job-runs",
            tag=TAG,
            plural="runs of scheduled jobs",
            service=services.job_runs,
            query=asked.JobRunQuery,
            document=shown.JobRunDocument,
            readers=reads("jobs"),
        ),
    )
