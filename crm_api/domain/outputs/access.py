"""Staff, service accounts, tokens, sessions and the audit log as they are shown: secrets once, hashes never."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from crm_api.domain.access import Role  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class StaffDocument(Output):
    """A member of staff."""

    id: RowId
    name: str
    login: str
    role: Role
    all_companies: bool
    companies: list[RowId]
    enabled: bool
    created_at_ms: Moment
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 5,
        "name": "Anna Petrova",
        "login": "anna@riverside.example",
        "role": "operator",
        "all_companies": False,
        "companies": [1],
        "enabled": True,
        "created_at_ms": 1790000000000,
        "version": 1,
    }


class StaffWithPassword(StaffDocument):
    """A member of staff; `password` is there when it was made just now, and never again."""

    password: str | None

    EXAMPLE: ClassVar[dict[str, Any]] = {**StaffDocument.EXAMPLE, "password": "q7m2kd94hxnb8sw3tz6vcy5r"}


class ServiceAccountDocument(Output):
    """A program that uses the API."""

    id: RowId
    name: str
    role: Role
    all_companies: bool
    companies: list[RowId]
    enabled: bool
    created_at_ms: Moment
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 4,
        "name": "Billing of Riverside Homes",
        "role": "operator",
        "all_companies": False,
        "companies": [1],
        "enabled": True,
        "created_at_ms": 1790000000000,
        "version": 1,
    }


class TokenDocument(Output):
    """A token or a session: when it was made, last used (to the minute), and until when it holds."""

    id: RowId
    principal_id: RowId
    name: str
    created_at_ms: Moment
    expires_at_ms: Moment | None
    last_used_at_ms: Moment | None
    revoked_at_ms: Moment | None
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 9,
        "principal_id": 4,
        "name": "server in Riverside",
        "created_at_ms": 1790000000000,
        "expires_at_ms": None,
        "last_used_at_ms": 1790000360000,
        "revoked_at_ms": None,
        "version": 1,
    }


class NewTokenDocument(TokenDocument):
    """A token or session made just now: `token` is never shown again."""

    token: str

    EXAMPLE: ClassVar[dict[str, Any]] = {
        **TokenDocument.EXAMPLE,
        "token": "ep_zT0v9YlU4pXk2n1aQm5c8rWbG7hJdE3sFiK6oLyHvMA",
    }


class Myself(Output):
    """Who the token of this request speaks for."""

    id: RowId
    kind: Literal["staff", "service_account"]
    name: str
    login: str | None
    role: Role
    all_companies: bool
    companies: list[RowId]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 5,
        "kind": "staff",
        "name": "Anna Petrova",
        "login": "anna@riverside.example",
        "role": "operator",
        "all_companies": False,
        "companies": [1],
    }


class AuditDocument(Output):
    """One change. Of a changed thing `before` and `after` hold what differs; secrets are `(not shown)`."""

    id: RowId
    at_ms: Moment
    company_id: RowId | None
    principal_id: RowId | None
    who: str
    action: str
    noun: str
    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 77,
        "at_ms": 1790000000000,
        "company_id": 1,
        "principal_id": 5,
        "who": "Anna Petrova",
        "action": "change",
        "noun": "house",
        "key": "1",
        "before": {"address": "Lenina 1", "version": 1},
        "after": {"address": "Lenina 1A", "version": 2},
    }
