"""The tables of quality probes."""

from __future__ import annotations

from peewee import AutoField, BigIntegerField, TextField

from crm_api.tables.models import Table


class ProbeCampaign(Table):
    """Whose handsets are called, when, and how often; the lists are JSON."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    name = TextField()
    kind = BigIntegerField()
    state = TextField()
    selection = TextField()
    hours = TextField()
    holidays = TextField()
    zone = TextField(null=True)
    tries = BigIntegerField()
    days_between = BigIntegerField()
    calls_at_once = BigIntegerField()
    entrance_calls_per_minute = BigIntegerField()
    panel_pause_s = BigIntegerField()
    ring_timeout_s = BigIntegerField()
    language = TextField()
    created_at_ms = BigIntegerField()
    started_at_ms = BigIntegerField(null=True)
    finished_at_ms = BigIntegerField(null=True)


class ProbeItem(Table):
    """One apartment of a campaign."""

    id = AutoField()
    company_id = BigIntegerField()
    campaign_id = BigIntegerField()
    apartment_id = BigIntegerField()
    state = TextField()
    reason = TextField(null=True)
    calls = BigIntegerField(default=0)
    tries = BigIntegerField(default=0)
    not_before_ms = BigIntegerField(default=0)


class ProbeCall(Table):
    """One call to one handset, and what it said."""

    id = AutoField()
    company_id = BigIntegerField()
    campaign_id = BigIntegerField()
    item_id = BigIntegerField()
    apartment_id = BigIntegerField()
    panel = TextField()
    number = BigIntegerField()
    state = TextField()
    began_at_ms = BigIntegerField()
    answered_after_ms = BigIntegerField(null=True)
    ended_at_ms = BigIntegerField(null=True)
    outcome = TextField(null=True)
    grade = BigIntegerField(null=True)
    verdict = TextField(null=True)
    reasons = TextField(null=True)
    measures = TextField(null=True)
    recording = TextField(null=True)
