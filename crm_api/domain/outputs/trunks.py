"""Trunks as they are shown."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class TrunkRouteDocument(Output):
    """Whom a trunk serves, and the number that a called phone shows."""

    company_id: RowId | None
    city_id: RowId | None
    position: int
    caller_number: str | None


class TrunkDocument(Output):
    """A carrier; of its password only whether there is one."""

    id: RowId
    name: str
    kind: Literal["sip", "twilio_voice"]
    address: str | None
    transport: Literal["udp", "tcp"]
    username: str | None
    realm: str | None
    has_password: bool
    registers: bool
    number_format: Literal["e164", "digits"]
    networks: list[str] | None
    price_per_minute_micros: int
    currency: str
    billing_increment_s: int
    enabled: bool
    created_at_ms: Moment
    routes: list[TrunkRouteDocument]
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "name": "carrier-a",
        "kind": "sip",
        "address": "sip.carrier-a.example",
        "transport": "udp",
        "username": "84955550100",
        "realm": "sip.carrier-a.example",
        "has_password": True,
        "registers": True,
        "number_format": "e164",
        "networks": None,
        "price_per_minute_micros": 14000,
        "currency": "USD",
        "billing_increment_s": 60,
        "enabled": True,
        "created_at_ms": 1790000000000,
        "routes": [{"company_id": None, "city_id": 1, "position": 1, "caller_number": "+78435550100"}],
        "version": 1,
    }


class TrunkLine(Output):
    """What a company's phones cost on one trunk; `cost_micros` in millionths of the currency."""

    trunk: str
    currency: str
    calls: int
    billed_s: int
    cost_micros: int


class ApartmentLine(Output):
    """An apartment's share: what its own calls cost; null: apartments that are no more, and desks."""

    apartment_id: RowId | None
    currency: str
    calls: int
    billed_s: int
    cost_micros: int


class PhoneStatement(Output):
    """What a company's phones cost in a calendar month (UTC)."""

    company_id: RowId
    month: str
    trunks: list[TrunkLine]
    apartments: list[ApartmentLine]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "company_id": 1,
        "month": "2026-11",
        "trunks": [{"trunk": "carrier-a", "currency": "USD", "calls": 3, "billed_s": 240, "cost_micros": 56000}],
        "apartments": [{"apartment_id": 7, "currency": "USD", "calls": 3, "billed_s": 240, "cost_micros": 56000}],
    }
