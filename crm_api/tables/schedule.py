"""The tables of the scheduler: jobs, their runs, its lease."""

from __future__ import annotations

from peewee import AutoField, BigIntegerField, BooleanField, TextField

from crm_api.tables.models import Table


class SchedulerLease(Table):
    """Who is the scheduler until when."""

    name = TextField(primary_key=True)
    holder = TextField()
    term = BigIntegerField()
    since_ms = BigIntegerField()
    until_ms = BigIntegerField()


class ScheduledJob(Table):
    """Something that is done at set times, for the platform or for one company."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField(null=True)
    kind = TextField()
    cron = TextField()
    zone = TextField(null=True)
    enabled = BooleanField()
    next_slot = TextField(null=True)
    next_at_ms = BigIntegerField(null=True)


class JobRun(Table):
    """One slot of a job, or one start by hand."""

    id = AutoField()
    job_id = BigIntegerField()
    company_id = BigIntegerField(null=True)
    kind = TextField()
    slot = TextField()
    due_at_ms = BigIntegerField()
    slots_missed = BigIntegerField()
    started_by = TextField()
    state = TextField()
    not_before_ms = BigIntegerField()
    started_at_ms = BigIntegerField(null=True)
    heartbeat_at_ms = BigIntegerField(null=True)
    finished_at_ms = BigIntegerField(null=True)
    attempts = BigIntegerField()
    holder = TextField(null=True)
    done = BigIntegerField()
    total = BigIntegerField(null=True)
    result = TextField(null=True)
