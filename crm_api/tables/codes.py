"""The tables of renewed access codes: a company's rules, codes on panels, notices to residents, billing's state."""

from __future__ import annotations

from peewee import AutoField, BigIntegerField, BooleanField, TextField

from crm_api.tables.models import Table


class BillingState(Table):
    """When billing was last asked, and last answered."""

    name = TextField(primary_key=True)
    tried_at_ms = BigIntegerField()
    ok_at_ms = BigIntegerField(null=True)
    error = TextField(null=True)


class AccessCodeRule(Table):
    """How a company's codes are drawn, and when its residents are told."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    length = BigIntegerField(default=5)
    alphabet = TextField(default="0123456789")
    grace_s = BigIntegerField(default=86_400)
    sms = BooleanField(default=False)
    tell_from_hour = BigIntegerField(default=9)
    tell_until_hour = BigIntegerField(default=20)


class PanelCode(Table):
    """One code on one panel that keeps codes itself: what is wanted, and whether it is so. A removed one has no id."""

    id = AutoField()
    company_id = BigIntegerField()
    panel_id = BigIntegerField()
    access_code_id = BigIntegerField(null=True)
    place = BigIntegerField()
    wanted = TextField()
    state = TextField()
    tries = BigIntegerField(default=0)
    next_try_ms = BigIntegerField(default=0)
    last_error = TextField(null=True)
    set_at_ms = BigIntegerField(null=True)


class CodeNotice(Table):
    """One message about a new code to one app or phone."""

    id = AutoField()
    company_id = BigIntegerField()
    access_code_id = BigIntegerField()
    resident_id = BigIntegerField()
    channel = TextField()
    address = TextField()
    state = TextField()
    tries = BigIntegerField(default=0)
    next_try_ms = BigIntegerField()
    sent_at_ms = BigIntegerField(null=True)
    last_error = TextField(null=True)
