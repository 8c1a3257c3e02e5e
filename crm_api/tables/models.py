"""The tables as peewee sees them; the migrations make them.

References are plain integer columns on purpose: a row is never loaded behind the reader's back. The database itself
holds the foreign keys.
"""

from __future__ import annotations

import re
from typing import Any

from peewee import AutoField, BigIntegerField, BooleanField, CompositeKey, DatabaseProxy, DoubleField, Model, TextField

DATABASE: Any = DatabaseProxy()

IRREGULAR = {"City": "cities", "Company": "companies", "CallBranch": "call_branches", "RingPlanRow": "ring_plans"}


def table_name(model: type[Model]) -> str:
    """Return the plural that names the table: `BlockKind` is kept in `block_kinds`."""
    name = model.__name__
    return IRREGULAR.get(name) or re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() + "s"


class Table(Model):
    """Base of all tables."""

    class Meta:
        """Bound to the process's database by `CrmDatabase`."""

        database = DATABASE
        table_function = table_name

    @classmethod
    def of_companies(cls, companies: frozenset[int]) -> Any:
        """Return the condition that a row is one of these companies' (a table without `company_id` has its own)."""
        fields: Any = cls
        return among(fields.company_id, companies)


def among(column: Any, companies: frozenset[int]) -> Any:
    """Return the condition that a column names one of the companies; one company is the plain case for an index."""
    return column == next(iter(companies)) if len(companies) == 1 else column.in_(sorted(companies))


class City(Table):
    """A city; its dispatch centre answers 112."""

    id = AutoField()
    name = TextField()
    fias_id = TextField(null=True)
    time_zone = TextField()
    version = BigIntegerField(default=1)


class Company(Table):
    """A management company: a tenant."""

    id = AutoField()
    name = TextField()
    billing_id = TextField(null=True)
    city_id = BigIntegerField(null=True)
    language = TextField()
    active = BooleanField()
    ring_timeout_s = BigIntegerField()
    talk_limit_s = BigIntegerField()
    contract = TextField(null=True)
    ring_limit_s = BigIntegerField()
    look_limit_s = BigIntegerField()
    neighbour_calls = TextField()
    code_tries = BigIntegerField()
    code_lock_s = BigIntegerField()
    phone_countries = TextField()
    phone_minutes = BigIntegerField(null=True)
    apartment_phone_minutes = BigIntegerField(null=True)
    calls_kept_days = BigIntegerField(null=True)
    access_records_kept_days = BigIntegerField(null=True)
    message_limit_s = BigIntegerField()
    message_kept_days = BigIntegerField()
    records_calls = BooleanField()
    recording_kept_days = BigIntegerField()
    created_at_ms = BigIntegerField()
    version = BigIntegerField(default=1)

    @classmethod
    def of_companies(cls, companies: frozenset[int]) -> Any:
        """Return the condition that it is one of these companies."""
        return among(cls.id, companies)


class House(Table):
    """A house of a company."""

    id = AutoField()
    company_id = BigIntegerField()
    city_id = BigIntegerField(null=True)
    address = TextField()
    fias_id = TextField(null=True)
    latitude = DoubleField(null=True)
    longitude = DoubleField(null=True)
    search_text = TextField()
    version = BigIntegerField(default=1)


class Entrance(Table):
    """An entrance of a house."""

    id = AutoField()
    company_id = BigIntegerField()
    house_id = BigIntegerField()
    number = BigIntegerField()
    version = BigIntegerField(default=1)


class Apartment(Table):
    """An apartment; its number is unique in its house."""

    id = AutoField()
    company_id = BigIntegerField()
    house_id = BigIntegerField()
    entrance_id = BigIntegerField()
    number = BigIntegerField()
    label = TextField(null=True)
    floor = BigIntegerField(null=True)
    probes_refused = BooleanField(default=False)
    version = BigIntegerField(default=1)


class Account(Table):
    """A SIP account: the credential of one device."""

    id = AutoField()
    company_id = BigIntegerField(null=True)
    apartment_id = BigIntegerField(null=True)
    account = TextField()
    kind = TextField()
    resident_id = BigIntegerField(null=True)
    ha1 = TextField(null=True)
    phone = TextField(null=True)
    enabled = BooleanField()
    quiet_from_min = BigIntegerField(null=True)
    quiet_until_min = BigIntegerField(null=True)
    created_at_ms = BigIntegerField()
    version = BigIntegerField(default=1)


class DispatchCentre(Table):
    """The account that answers emergency calls of a city or of a company."""

    id = AutoField()
    account_id = BigIntegerField()
    city_id = BigIntegerField(null=True)
    company_id = BigIntegerField(null=True)


class Panel(Table):
    """A door panel or gate; `credentials` are encrypted."""

    id = AutoField()
    company_id = BigIntegerField()
    account_id = BigIntegerField()
    name = TextField()
    driver = TextField()
    address = TextField(null=True)
    credentials = TextField(null=True)
    maker = TextField(null=True)
    model = TextField(null=True)
    latitude = DoubleField(null=True)
    longitude = DoubleField(null=True)
    last_seen_at_ms = BigIntegerField(null=True)
    gate_id = BigIntegerField(null=True)
    ring_limit_s = BigIntegerField(null=True)
    talk_limit_s = BigIntegerField(null=True)
    separator = TextField(null=True)
    search_text = TextField()
    version = BigIntegerField(default=1)


class PanelPlace(Table):
    """What a panel serves: a house, or one entrance of it, under a code."""

    id = AutoField()
    panel_id = BigIntegerField()
    company_id = BigIntegerField()
    house_id = BigIntegerField()
    entrance_id = BigIntegerField(null=True)
    code = TextField()


class Door(Table):
    """A door that a panel opens (by DTMF in the call, by HTTP, or by a relay), or that a relay opens by itself."""

    id = AutoField()
    company_id = BigIntegerField()
    panel_id = BigIntegerField(null=True)
    relay_id = BigIntegerField(null=True)
    output = BigIntegerField()
    relay_output = BigIntegerField(null=True)
    name = TextField()
    method = TextField()
    dtmf = TextField(null=True)
    entrance_id = BigIntegerField(null=True)
    gate_id = BigIntegerField(null=True)


class BlockKind(Table):
    """What a kind of block stops."""

    id = AutoField()
    company_id = BigIntegerField()
    name = TextField()
    stops_calls = BooleanField()
    stops_opening = BooleanField()
    stops_keys = BooleanField()
    stops_codes = BooleanField()
    version = BigIntegerField(default=1)


class Block(Table):
    """A block put on an apartment for a time."""

    id = AutoField()
    company_id = BigIntegerField()
    apartment_id = BigIntegerField()
    kind_id = BigIntegerField()
    reason = TextField()
    starts_at_ms = BigIntegerField()
    ends_at_ms = BigIntegerField(null=True)
    lifted_at_ms = BigIntegerField(null=True)
    lift_reason = TextField(null=True)
    created_at_ms = BigIntegerField()
    version = BigIntegerField(default=1)


class RingPlanRow(Table):
    """A kept ring plan: a company's default, or an override for a house or an apartment."""

    id = AutoField()
    company_id = BigIntegerField()
    house_id = BigIntegerField(null=True)
    apartment_id = BigIntegerField(null=True)
    name = TextField()
    version = BigIntegerField(default=1)


class RingStage(Table):
    """A stage of a kept plan."""

    id = AutoField()
    plan_id = BigIntegerField()
    position = BigIntegerField()
    ring_timeout_s = BigIntegerField()
    on_refusal = TextField()
    confirm = BooleanField()
    one_by_one = BooleanField()


class RingTarget(Table):
    """A line of a stage: a kind of the household's accounts, or one account."""

    id = AutoField()
    stage_id = BigIntegerField()
    position = BigIntegerField()
    kind = TextField(null=True)
    account_id = BigIntegerField(null=True)


class CallRecord(Table):
    """One call, exactly one row."""

    id = AutoField()
    call_id = TextField()
    company_id = BigIntegerField(null=True)
    panel_id = BigIntegerField(null=True)
    apartment_id = BigIntegerField(null=True)
    house_id = BigIntegerField(null=True)
    panel = TextField(null=True)
    dialled = TextField(null=True)
    started_at_ms = BigIntegerField()
    ended_at_ms = BigIntegerField(null=True)
    talk_ms = BigIntegerField(null=True)
    answered_by = TextField(null=True)
    result = TextField(null=True)
    reason = TextField(null=True)
    cause = BigIntegerField(null=True)
    plan_source = TextField(null=True)


class CallApartment(Table):
    """An apartment that a call rang although no panel has dialled it: it was passed on there, or comes from inside."""

    apartment_id = BigIntegerField()
    call_id = TextField()

    class Meta:
        """No id: these two are the key."""

        primary_key = CompositeKey("apartment_id", "call_id")


class CallBranch(Table):
    """One branch of a call: why a phone rang or did not."""

    call_id = TextField()
    stage = BigIntegerField()
    account = TextField()
    branch = TextField()
    contact = TextField(null=True)
    outcome = TextField()
    sip_status = BigIntegerField(null=True)
    invited_at_ms = BigIntegerField(null=True)
    ringing_at_ms = BigIntegerField(null=True)
    ended_at_ms = BigIntegerField(null=True)

    class Meta:
        """No id: these four are the key."""

        primary_key = CompositeKey("call_id", "stage", "account", "branch")


class AccessRecord(Table):
    """One opening, or one refusal: who, when, how, with which result."""

    id = AutoField()
    company_id = BigIntegerField(null=True)
    at_ms = BigIntegerField()
    panel_id = BigIntegerField(null=True)
    apartment_id = BigIntegerField(null=True)
    house_id = BigIntegerField(null=True)
    key_id = BigIntegerField(null=True)
    key_number = TextField(null=True)
    access_code_id = BigIntegerField(null=True)
    panel = TextField()
    door_id = BigIntegerField(null=True)
    account = TextField(null=True)
    opened_by = TextField(null=True)
    call_id = TextField(null=True)
    key = TextField(null=True)
    method = TextField(null=True)
    result = TextField()
    reason = TextField(null=True)
    event_at_ms = BigIntegerField(null=True)
