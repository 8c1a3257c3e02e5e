"""Scheduled jobs as the office sees them: when they are due, how the last run went, and a start by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from peewee import fn

from crm_api.domain.problems import ConflictError, InvalidFieldsError
from crm_api.domain.slots import slot_from, slot_named
from crm_api.domain.zones import UnreadableZoneError
from crm_api.services.audit import audited
from crm_api.services.job_runs import run_document
from crm_api.services.kept import Document, Kept
from crm_api.services.timetable import PLATFORM_ZONE
from crm_api.tables.models import City, Company
from crm_api.tables.schedule import JobRun, ScheduledJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.slots import Slot
    from crm_api.services.context import Tenant

_BY_HAND: Final = "by hand"


class ScheduledJobs(Kept[ScheduledJob]):
    """Scheduled jobs: the scheduler makes them, the office changes their times and starts them."""

    noun = "scheduled job"
    model = ScheduledJob

    def documents(self, rows: Sequence[ScheduledJob]) -> list[Document]:
        """Show each job with the zone that counts and its last run."""
        zones = self._city_zones([row.company_id for row in rows])
        latest: Any = JobRun.select(JobRun.job_id, fn.MAX(JobRun.id)).where(JobRun.job_id.in_([row.id for row in rows]))
        ids = [last for _, last in latest.group_by(JobRun.job_id).tuples()]
        runs = {run.job_id: run_document(run) for run in JobRun.select().where(JobRun.id.in_(ids))}
        return [
            {
                **row.__data__,
                "zone_in_use": row.zone or zones.get(row.company_id, PLATFORM_ZONE),
                "last_run": runs.get(row.id),
            }
            for row in rows
        ]

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change when a job is due; the next slot is found anew.

        The slot that is waited for stays the next one, and runs at once, when it is due already: in another zone, or as
        no scheduler has run since. With another cron only one that was missed so does: nothing is made up for.

        Raises:
            InvalidFieldsError: the zone that the job has so far cannot be read.
        """
        with self.database.transaction():
            row = self.row(tenant, key)
            if values.keys() & {"cron", "zone", "enabled"}:
                zone = values.get("zone", row.zone)
                zone = zone or self._city_zones([row.company_id]).get(row.company_id, PLATFORM_ZONE)
                if values.get("enabled", row.enabled):
                    try:
                        slot = self._next_slot(row, values.get("cron", row.cron), zone)
                    except UnreadableZoneError:
                        raise InvalidFieldsError.one(
                            "zone", zone, "cannot be read: give the job or its city another"
                        ) from None
                    values = {**values, "next_slot": slot.name, "next_at_ms": slot.due_at_ms}
                else:
                    values = {**values, "next_slot": None, "next_at_ms": None}
            self.update(row, **values)
        return self.got(tenant, key)

    def _next_slot(self, row: ScheduledJob, cron: str, zone: str) -> Slot:
        now_ms = self.context.now_ms()
        known: Any = row
        if known.next_slot is not None and (cron == known.cron or known.next_at_ms <= now_ms):
            waited_for = slot_named(zone, known.next_slot)
            if waited_for.due_at_ms <= now_ms:
                return waited_for
        return slot_from(cron, zone, now_ms)

    @audited("start by hand")
    def start(self, tenant: Tenant, key: int) -> Document:
        """Have a job run now, once.

        Raises:
            ConflictError: it runs, or waits to.
        """
        now_ms = self.context.now_ms()
        with self.database.transaction():
            row = self.row(tenant, key)
            if JobRun.select().where((JobRun.job_id == key) & JobRun.finished_at_ms.is_null()).first() is not None:
                raise ConflictError("The job runs or waits to run: wait for its end")
            JobRun.create(
                job_id=key,
                company_id=row.company_id,
                kind=row.kind,
                slot=f"{_BY_HAND} {now_ms}",
                due_at_ms=now_ms,
                slots_missed=0,
                started_by=tenant.name or "platform",
                state="waiting",
                not_before_ms=0,
                attempts=0,
                done=0,
            )
        return self.got(tenant, key)

    def _city_zones(self, company_ids: Sequence[Any]) -> dict[Any, str]:
        query: Any = (
            Company.select(Company.id, City.time_zone)
            .join(City, on=(City.id == Company.city_id))
            .where(Company.id.in_([company_id for company_id in company_ids if company_id is not None]))
        )
        return dict(query.tuples())
