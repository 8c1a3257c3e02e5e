"""SIP accounts as they are shown: never with HA1, with the password once."""

from __future__ import annotations

from typing import Any, ClassVar

from crm_api.domain.kinds import AccountKind  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class AccountDocument(Output):
    """A SIP account."""

    id: RowId
    company_id: RowId | None
    apartment_id: RowId | None
    resident_id: RowId | None
    account: str
    kind: AccountKind
    phone: str | None
    enabled: bool
    quiet_from: str | None
    quiet_until: str | None
    created_at_ms: Moment
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 21,
        "company_id": 1,
        "apartment_id": 7,
        "resident_id": None,
        "account": "h10012a",
        "kind": "handset",
        "phone": None,
        "enabled": True,
        "quiet_from": "22:30",
        "quiet_until": "07:00",
        "created_at_ms": 1790000000000,
        "version": 1,
    }


class AccountWithPassword(AccountDocument):
    """A SIP account whose password was made just now: it is never shown again. A phone has none."""

    password: str | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {**AccountDocument.EXAMPLE, "password": "q7m2kd94hxnb8sw3tz6vcy5r"}
