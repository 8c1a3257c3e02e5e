"""Scheduled jobs as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from crm_api.domain.inputs.base import FilterId, FilterText, Flag, Input, PageQuery, Zone, unchanged
from crm_api.domain.slots import check_cron

Cron = Annotated[
    str,
    StringConstraints(min_length=9, max_length=100, pattern=r"^[0-9*,/-]+( [0-9*,/-]+){3} [0-9*a-z,/-]+$"),
    Field(description="minute, hour, day of month, month, day of week (0 and 7: Sunday), on the zone's wall clock"),
    AfterValidator(check_cron),
]


class ScheduledJobChange(Input):
    """When a job is due."""

    cron: Cron = unchanged()
    zone: Zone | None = unchanged()
    enabled: Flag = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"cron": "0 5 * * 1", "zone": None}


class ScheduledJobQuery(PageQuery):
    """Jobs of a company or of a kind."""

    company_id: FilterId = None
    kind: FilterText = None


class JobRunQuery(PageQuery):
    """Runs, newest first unless asked otherwise."""

    company_id: FilterId = None
    job_id: FilterId = None
    kind: FilterText = None
    state: Literal["waiting", "running", "done", "failed"] | None = None
    sort: Literal["id", "-id"] = "-id"
