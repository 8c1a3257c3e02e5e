"""Scheduled jobs and their runs as they are shown."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class JobRunDocument(Output):
    """One run of a scheduled job."""

    id: RowId
    job_id: RowId
    company_id: RowId | None
    kind: str
    slot: Annotated[str, Field(description="wall-clock time in the job's zone, or `by hand` and a moment")]
    due_at_ms: Moment
    slots_missed: Annotated[int, Field(description="earlier slots that came while no scheduler ran; they are not run")]
    started_by: str
    state: Literal["waiting", "running", "done", "failed"]
    started_at_ms: Moment | None
    finished_at_ms: Moment | None
    duration_ms: int | None
    attempts: int
    holder: Annotated[str | None, Field(description="process that has or had it")]
    done: Annotated[int, Field(description="how much of `total` is done")]
    total: int | None
    result: dict[str, Any] | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 17,
        "job_id": 3,
        "company_id": 1,
        "kind": "access_codes",
        "slot": "2026-11-23T05:00",
        "due_at_ms": 1795392000000,
        "slots_missed": 0,
        "started_by": "schedule",
        "state": "done",
        "started_at_ms": 1795392000412,
        "finished_at_ms": 1795392003900,
        "duration_ms": 3488,
        "attempts": 1,
        "holder": "node1-811",
        "done": 1466,
        "total": 1466,
        "result": {"codes": 1466},
    }


class ScheduledJobDocument(Output):
    """A job with its next slot and its last run."""

    id: RowId
    version: Version
    company_id: Annotated[int | None, Field(description="null: the platform's")]
    kind: str
    cron: str
    zone: Annotated[str | None, Field(description="null: the zone of the company's city; UTC for the platform")]
    zone_in_use: str
    enabled: bool
    next_slot: str | None
    next_at_ms: Moment | None
    last_run: JobRunDocument | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 3,
        "version": 1,
        "company_id": 1,
        "kind": "access_codes",
        "cron": "0 5 * * 1",
        "zone": None,
        "zone_in_use": "Asia/Yekaterinburg",
        "enabled": True,
        "next_slot": "2026-11-30T05:00",
        "next_at_ms": 1795996800000,
        "last_run": JobRunDocument.EXAMPLE,
    }
