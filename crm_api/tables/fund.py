"""The tables of the housing fund beyond houses and panels: gates, relays, push tokens, keys, codes, desks, jobs."""

from __future__ import annotations

from typing import Any

from peewee import AutoField, BigIntegerField, BlobField, BooleanField, CompositeKey, DoubleField, TextField

from crm_api.tables.models import Table


class Gate(Table):
    """A gate or wicket that several houses share."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    name = TextField()
    latitude = DoubleField(null=True)
    longitude = DoubleField(null=True)


class GateHouse(Table):
    """One house whose people go through a gate."""

    gate_id = BigIntegerField()
    company_id = BigIntegerField()
    house_id = BigIntegerField()

    class Meta:
        """No id: gate and house are the key."""

        primary_key = CompositeKey("gate_id", "house_id")


class Relay(Table):
    """A network relay: opens doors, carries no calls; `credentials` are encrypted."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    name = TextField()
    maker = TextField(null=True)
    model = TextField(null=True)
    driver = TextField()
    address = TextField()
    credentials = TextField(null=True)
    latitude = DoubleField(null=True)
    longitude = DoubleField(null=True)
    last_seen_at_ms = BigIntegerField(null=True)


class PushToken(Table):
    """Where one device of an app's account is woken."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    account_id = BigIntegerField()
    device = TextField()
    platform = TextField()
    token = TextField()
    created_at_ms = BigIntegerField()
    updated_at_ms = BigIntegerField()
    invalidated_at_ms = BigIntegerField(null=True)
    invalid_reason = TextField(null=True)


class ConciergeDesk(Table):
    """A desk that answers for a company, or for one house of it; the lowest priority rings first."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    house_id = BigIntegerField(null=True)
    account_id = BigIntegerField()
    name = TextField()
    priority = BigIntegerField()
    on_duty = BooleanField()
    phone = TextField(null=True)


class RfidKey(Table):
    """A key and the one thing that it is bound to (`scope` names which)."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    number = TextField()
    scope = TextField()
    resident_id = BigIntegerField(null=True)
    apartment_id = BigIntegerField(null=True)
    entrance_id = BigIntegerField(null=True)
    house_id = BigIntegerField(null=True)
    enabled = BooleanField()
    note = TextField()
    created_at_ms = BigIntegerField()


class AccessCode(Table):
    """A code that opens an entrance or a gate; the clear text is encrypted, the hash is keyed."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    entrance_id = BigIntegerField(null=True)
    gate_id = BigIntegerField(null=True)
    apartment_id = BigIntegerField(null=True)
    code_encrypted = TextField()
    code_hash = TextField()
    single_use = BooleanField()
    valid_from_ms = BigIntegerField()
    valid_until_ms = BigIntegerField(null=True)
    note = TextField()
    created_at_ms = BigIntegerField()
    last_used_at_ms = BigIntegerField(null=True)
    ended_at_ms = BigIntegerField(null=True)
    end_reason = TextField(null=True)
    slot = TextField(null=True)
    superseded_by = BigIntegerField(null=True)
    tell_at_ms = BigIntegerField(null=True)


class Job(Table):
    """A piece of work that is done in the background."""

    id = AutoField()
    company_id = BigIntegerField()
    kind = TextField()
    state = TextField()
    options = TextField()
    made_by = TextField()
    created_at_ms = BigIntegerField()
    started_at_ms = BigIntegerField(null=True)
    heartbeat_at_ms = BigIntegerField(null=True)
    finished_at_ms = BigIntegerField(null=True)
    attempts = BigIntegerField()
    rows_total = BigIntegerField(null=True)
    rows_done = BigIntegerField()
    result = TextField(null=True)


class JobFile(Table):
    """What a job works on; removed when the job is done."""

    job_id: Any = BigIntegerField(primary_key=True)
    content: Any = BlobField()


class Trunk(Table):
    """A carrier that phones are dialled through; `secret` is encrypted, `ha1` is what a digest needs."""

    id = AutoField()
    version = BigIntegerField(default=1)
    name = TextField()
    kind = TextField()
    address = TextField(null=True)
    transport = TextField()
    username = TextField(null=True)
    realm = TextField(null=True)
    ha1 = TextField(null=True)
    secret = TextField(null=True)
    registers = BooleanField()
    number_format = TextField()
    price_per_minute_micros = BigIntegerField()
    currency = TextField()
    networks = TextField(null=True)
    billing_increment_s = BigIntegerField()
    enabled = BooleanField()
    created_at_ms = BigIntegerField()


class TrunkRoute(Table):
    """Whom a trunk serves: a company or (None) all, in a city or (None) all; the lowest position is tried first."""

    id = AutoField()
    trunk_id = BigIntegerField()
    company_id = BigIntegerField(null=True)
    city_id = BigIntegerField(null=True)
    position = BigIntegerField()
    caller_number = TextField(null=True)


class Webhook(Table):
    """Where a client company is told what happens; `secret` is encrypted, `events` are comma-separated."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    url = TextField()
    events = TextField()
    secret = TextField()
    enabled = BooleanField()
    created_at_ms = BigIntegerField()
    rests_until_ms = BigIntegerField(default=0)
    silences = BigIntegerField(default=0)


class WebhookDelivery(Table):
    """One thing to tell one webhook; `subject` names it (a Call-ID, an access record, a message)."""

    id = AutoField()
    webhook_id = BigIntegerField()
    company_id = BigIntegerField()
    event = TextField()
    subject = TextField()
    state = TextField()
    attempts = BigIntegerField()
    created_at_ms = BigIntegerField()
    due_at_ms = BigIntegerField()
    delivered_at_ms = BigIntegerField(null=True)
    last_error = TextField(null=True)

    class Meta:
        """Its plural is irregular."""

        table_name = "webhook_deliveries"
