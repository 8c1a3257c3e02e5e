"""Tables of emergency calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import AutoField, BigIntegerField, BooleanField, TextField

from crm_api.tables.models import Table

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase


class EmergencyCentre(Table):
    """The dispatch centre of a city, and what the city's law and practice ask for."""

    id = AutoField()
    city_id = BigIntegerField()
    name = TextField()
    number = TextField()
    public_number = TextField(null=True)
    test_number = TextField(null=True)
    country = TextField()
    records_calls = BooleanField()
    keep_s = BigIntegerField()
    low_percent = BigIntegerField()
    email = TextField(null=True)
    webhook_url = TextField(null=True)
    webhook_secret = TextField(null=True)
    sms_number = TextField(null=True)
    version = BigIntegerField(default=1)


class EmergencyTrunk(Table):
    """A trunk that leads to the dispatch centre of a city: its turn, and how it wants to be told caller and place."""

    id = AutoField()
    city_id = BigIntegerField()
    trunk = TextField()
    position = BigIntegerField()
    caller_in = TextField()
    sends_location = BooleanField()
    version = BigIntegerField(default=1)


class EmergencyRule(Table):
    """Which numbers are emergency numbers on a company's panels, and who of the company is told at once."""

    id = AutoField()
    company_id = BigIntegerField()
    numbers = TextField()
    sos_number = TextField(null=True)
    from_apps = TextField()
    email = TextField(null=True)
    webhook_url = TextField(null=True)
    webhook_secret = TextField(null=True)


class CityNumber(Table):
    """A number of a city's pool, and the panel that holds it."""

    id = AutoField()
    city_id = BigIntegerField()
    number = TextField()
    trunk = TextField()
    shared = BooleanField()
    in_service = BooleanField()
    panel_id = BigIntegerField(null=True)
    call_id = TextField(null=True)
    in_call = BooleanField(default=False)
    leased_at_ms = BigIntegerField(null=True)
    held_until_ms = BigIntegerField(default=0)
    version = BigIntegerField(default=1)


class NumberLease(Table):
    """A panel held a number from a moment on; `ended_at_ms` is empty while it does."""

    id = AutoField()
    number_id = BigIntegerField()
    city_id = BigIntegerField()
    company_id = BigIntegerField(null=True)
    panel_id = BigIntegerField(null=True)
    number = TextField()
    panel = TextField()
    leased_at_ms = BigIntegerField()
    calls = BigIntegerField()
    call_id = TextField()
    held_until_ms = BigIntegerField()
    ended_at_ms = BigIntegerField(null=True)
    end_reason = TextField(null=True)
    reason = TextField(null=True)


class EmergencyCall(Table):
    """One emergency call, out or back; `steps` is a JSON array of what happened when."""

    id = AutoField()
    call_id = TextField()
    direction = TextField()
    company_id = BigIntegerField(null=True)
    panel_id = BigIntegerField(null=True)
    city_id = BigIntegerField(null=True)
    panel = TextField(null=True)
    dialled = TextField(null=True)
    number = TextField(null=True)
    number_source = TextField(null=True)
    test = BooleanField(default=False)
    started_at_ms = BigIntegerField()
    answered_at_ms = BigIntegerField(null=True)
    ended_at_ms = BigIntegerField(null=True)
    route = TextField(null=True)
    result = TextField(null=True)
    steps = TextField()
    desks_told_at_ms = BigIntegerField(null=True)
    moves = BigIntegerField(default=0)


def locked_call(database: CrmDatabase, call_id: str) -> EmergencyCall | None:
    """Return a call that nobody else changes until this transaction ends: it is read, added to and written whole."""
    rows: Any = EmergencyCall.select().where(EmergencyCall.call_id == call_id)
    found: EmergencyCall | None = (rows.for_update() if database.dialect == "postgresql" else rows).first()
    return found


class EmergencyNotice(Table):
    """A message about an emergency call or a pool, to the centre, the company or the operator."""

    id = AutoField()
    company_id = BigIntegerField(null=True)
    city_id = BigIntegerField(null=True)
    call_id = TextField(null=True)
    kind = TextField()
    channel = TextField()
    destination = TextField()
    body = TextField()
    made_at_ms = BigIntegerField()
    due_at_ms = BigIntegerField()
    attempts = BigIntegerField(default=0)
    sent_at_ms = BigIntegerField(null=True)
    given_up_at_ms = BigIntegerField(null=True)
    last_error = TextField(null=True)


class EmergencyFinding(Table):
    """A panel from which an emergency call would not go the whole way, and why."""

    id = AutoField()
    company_id = BigIntegerField()
    panel_id = BigIntegerField()
    panel = TextField()
    city_id = BigIntegerField(null=True)
    problem = TextField()
    found_at_ms = BigIntegerField()
