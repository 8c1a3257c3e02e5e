"""SIP accounts as they are shown: never with HA1, with the password once."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

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


class ContactDocument(Output):
    """A device that is registered."""

    address: str
    transport: Literal["udp", "tcp", "tls", "ws", "wss", "sctp"]
    user_agent: str | None
    registered_at_ms: Moment
    expires_at_ms: Moment

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "address": "10.20.31.7:5060",
        "transport": "udp",
        "user_agent": "Beward DKS15122",
        "registered_at_ms": 1790000000000,
        "expires_at_ms": 1790000600000,
    }


class AccountContactsDocument(Output):
    """The devices of an account that are registered now, the one that registered last first; none: it is offline."""

    account: str
    items: list[ContactDocument]

    EXAMPLE: ClassVar[dict[str, Any]] = {"account": "p10001", "items": [ContactDocument.EXAMPLE]}
