"""Cities, companies, houses, entrances, apartments as they are shown."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class CityDocument(Output):
    """A city; its dispatch centre answers 112."""

    id: RowId
    name: str
    fias_id: str | None
    time_zone: str
    dispatch_number: Annotated[str | None, Field(description="that of its dispatch centre; null: 112 has no way")]
    dispatch_account: str | None
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "name": "Riverside",
        "dispatch_number": "+74951120112",
        "fias_id": "0c5b2444-70a0-4932-980c-b4dc0d3f02b5",
        "time_zone": "Europe/Moscow",
        "dispatch_account": "dispatch-riverside",
        "version": 1,
    }


class CompanyDocument(Output):
    """A management company: a tenant."""

    id: RowId
    name: str
    billing_id: str | None
    city_id: RowId | None
    language: str
    active: bool
    ring_timeout_s: int
    talk_limit_s: int
    contract: Annotated[str | None, Field(description="as billing names it")]
    ring_limit_s: int
    look_limit_s: int
    neighbour_calls: Literal["none", "house", "estate"]
    code_tries: int
    code_lock_s: int
    phone_countries: str
    phone_minutes: int | None
    apartment_phone_minutes: int | None
    calls_kept_days: int | None
    access_records_kept_days: int | None
    message_limit_s: int
    message_kept_days: int
    records_calls: bool
    recording_kept_days: int
    dispatch_account: str | None
    created_at_ms: Moment
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "name": "Riverside Homes",
        "contract": "2026-117",
        "billing_id": "10045",
        "city_id": 1,
        "language": "en",
        "active": True,
        "ring_timeout_s": 30,
        "talk_limit_s": 60,
        "ring_limit_s": 120,
        "look_limit_s": 60,
        "neighbour_calls": "house",
        "code_tries": 5,
        "code_lock_s": 600,
        "phone_countries": "RU,KZ",
        "phone_minutes": 5000,
        "apartment_phone_minutes": 60,
        "calls_kept_days": 365,
        "access_records_kept_days": 365,
        "message_limit_s": 30,
        "message_kept_days": 14,
        "records_calls": False,
        "recording_kept_days": 30,
        "dispatch_account": None,
        "created_at_ms": 1790000000000,
        "version": 1,
    }


class HouseDocument(Output):
    """A house of a company."""

    id: RowId
    company_id: RowId
    city_id: RowId | None
    address: str
    fias_id: str | None
    latitude: float | None
    longitude: float | None
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "city_id": 1,
        "address": "Lenina 1",
        "fias_id": None,
        "latitude": 55.7558,
        "longitude": 37.6173,
        "version": 1,
    }


class EntranceDocument(Output):
    """An entrance of a house."""

    id: RowId
    company_id: RowId
    house_id: RowId
    number: int
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": 1, "company_id": 1, "house_id": 1, "number": 1, "version": 1}


class ApartmentDocument(Output):
    """An apartment; `dial` tells the number on each panel that reaches it."""

    id: RowId
    company_id: RowId
    house_id: RowId
    entrance_id: RowId
    number: int
    label: str | None
    floor: int | None
    probes_refused: bool
    dial: dict[str, str]
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 7,
        "company_id": 1,
        "house_id": 1,
        "entrance_id": 1,
        "number": 12,
        "label": None,
        "floor": 3,
        "probes_refused": False,
        "dial": {"p10001": "12", "p10002": "2112"},
        "version": 1,
    }
