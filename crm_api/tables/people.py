"""Tables of people: who uses the API, who lives in the apartments, groups for campaigns, and the audit log."""

from __future__ import annotations

from typing import Any

from peewee import AutoField, BigIntegerField, BooleanField, CompositeKey, TextField, fn

from crm_api.tables.models import Table


class Principal(Table):
    """Who may use the API: a member of staff (login and password) or a service account (tokens)."""

    id = AutoField()
    kind = TextField()
    name = TextField()
    login = TextField(null=True)
    role = TextField()
    all_companies = BooleanField()
    enabled = BooleanField()
    password_hash = TextField(null=True)
    created_at_ms = BigIntegerField()
    version = BigIntegerField(default=1)

    @classmethod
    def of_companies(cls, companies: frozenset[int]) -> Any:
        """Return the condition that it is limited to some of these companies: nobody rules over who sees more."""
        inside = PrincipalCompany.principal_id == cls.id
        known = PrincipalCompany.select().where(inside)
        beyond = PrincipalCompany.select().where(inside & PrincipalCompany.company_id.not_in(sorted(companies)))
        return (cls.all_companies == False) & fn.EXISTS(known) & ~fn.EXISTS(beyond)  # noqa: E712 - SQL


class PrincipalCompany(Table):
    """A company that a principal is limited to."""

    principal_id = BigIntegerField()
    company_id = BigIntegerField()

    class Meta:
        """No id: both are the key."""

        table_name = "principal_companies"
        primary_key = CompositeKey("principal_id", "company_id")


class Token(Table):
    """What a principal shows: a token made by an admin, or the session of a login; only the hash is kept."""

    id = AutoField()
    principal_id = BigIntegerField()
    kind = TextField()
    name = TextField()
    token_hash = TextField()
    created_at_ms = BigIntegerField()
    expires_at_ms = BigIntegerField(null=True)
    last_used_at_ms = BigIntegerField(null=True)
    revoked_at_ms = BigIntegerField(null=True)
    version = BigIntegerField(default=1)

    @classmethod
    def of_companies(cls, companies: frozenset[int]) -> Any:
        """Return the condition that it is a token of a principal within these companies."""
        return cls.principal_id.in_(Principal.select(Principal.id).where(Principal.of_companies(companies)))


class LoginAttempt(Table):
    """A login that has not succeeded (yet); the hash, because people type passwords into the wrong field."""

    id = AutoField()
    login_hash = TextField()
    address = TextField()
    site = TextField(default="")
    at_ms = BigIntegerField()


class Resident(Table):
    """A person who lives in apartments of a company."""

    id = AutoField()
    company_id = BigIntegerField()
    name = TextField()
    note = TextField(null=True)
    created_at_ms = BigIntegerField()
    version = BigIntegerField(default=1)


class ResidentPhone(Table):
    """A phone of a resident, in E.164; position 0 is called first."""

    id = AutoField()
    company_id = BigIntegerField()
    resident_id = BigIntegerField()
    phone = TextField()
    position = BigIntegerField()


class Residency(Table):
    """A resident's role in one apartment; a guest's ends."""

    id = AutoField()
    company_id = BigIntegerField()
    resident_id = BigIntegerField()
    apartment_id = BigIntegerField()
    role = TextField()
    ends_at_ms = BigIntegerField(null=True)
    ring_order = BigIntegerField(null=True)

    class Meta:
        """Its plural is irregular."""

        table_name = "residencies"


class Group(Table):
    """A named set of houses, panels or apartments."""

    id = AutoField()
    company_id = BigIntegerField()
    kind = TextField()
    name = TextField()
    note = TextField(null=True)
    created_at_ms = BigIntegerField()
    version = BigIntegerField(default=1)


class GroupMember(Table):
    """One house, panel or apartment of a group."""

    id = AutoField()
    company_id = BigIntegerField()
    group_id = BigIntegerField()
    house_id = BigIntegerField(null=True)
    panel_id = BigIntegerField(null=True)
    apartment_id = BigIntegerField(null=True)


class AuditEntry(Table):
    """One change: who, what, before and after; the database refuses to change or delete it."""

    id = AutoField()
    at_ms = BigIntegerField()
    company_id = BigIntegerField(null=True)
    principal_id = BigIntegerField(null=True)
    who = TextField()
    action = TextField()
    noun = TextField()
    key = TextField()
    state_before = TextField(null=True)
    state_after = TextField(null=True)

    class Meta:
        """One log, not many."""

        table_name = "audit_log"
