"""Scheduled jobs as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from crm_api.domain.inputs.base import FilterId, FilterText, Flag, Input, PageQuery, unchanged
from crm_api.domain.slots import check_cron
from crm_api.domain.zones import zone_names

Cron = Annotated[
    str,
    StringConstraints(min_length=9, max_length=100, pattern=r"^[0-9*,/-]+( [0-9*,/-]+){3} [0-9*a-z,/-]+$"),
    Field(description="minute, hour, day of month, month, day of week (0 and 7: Sunday), on the zone's wall clock"),
    AfterValidator(check_cron),
]


class ScheduledJobChange(Input):
    """When a job is due."""

    cron: Cron = unchanged()
    zone: Annotated[str, StringConstraints(max_length=64)] | None = unchanged()
    enabled: Flag = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"cron": "0 5 * * 1", "zone": None}

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str | None) -> str | None:
        if zone is not None and zone not in zone_names():
            raise ValueError("give an IANA zone, such as Asia/Yekaterinburg, or null for the city's")
        return zone


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
