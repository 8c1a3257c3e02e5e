"""Gates, ranges of apartments, relays, push tokens, concierge desks, keys and codes as they are shown."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crm_api.domain.inputs.keys import KeyScope  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.inputs.push_tokens import Platform  # noqa: TC001 - the same
from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class GateDocument(Output):
    """A gate that several houses share."""

    id: RowId
    company_id: RowId
    name: str
    latitude: float | None
    longitude: float | None
    houses: list[RowId]
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "name": "Yard gate",
        "latitude": None,
        "longitude": None,
        "houses": [1, 2],
        "version": 1,
    }


class EntranceRange(Output):
    """Which apartments stand in an entrance."""

    entrance: int
    apartments: str


class RangeMade(Output):
    """What was made of a range, or (`dry_run`) would be."""

    house_id: RowId
    dry_run: bool
    made: int
    entrances_made: list[int]
    entrances: list[EntranceRange]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "house_id": 1,
        "dry_run": False,
        "made": 144,
        "entrances_made": [],
        "entrances": [{"entrance": 1, "apartments": "1-72"}, {"entrance": 2, "apartments": "73-144"}],
    }


class RelayDoorDocument(Output):
    """A door of a relay."""

    id: RowId
    output: int
    name: str
    entrance_id: RowId | None
    gate_id: RowId | None


class RelayDocument(Output):
    """A network relay. Of its credentials only whether there are any."""

    id: RowId
    company_id: RowId
    name: str
    maker: str | None
    model: str | None
    driver: Literal["beward", "generic"]
    address: str
    has_credentials: bool
    latitude: float | None
    longitude: float | None
    last_seen_at_ms: Moment | None
    doors: list[RelayDoorDocument]
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "name": "Barrier",
        "maker": None,
        "model": None,
        "driver": "generic",
        "address": "10.20.30.50",
        "has_credentials": False,
        "latitude": None,
        "longitude": None,
        "last_seen_at_ms": None,
        "doors": [{"id": 9, "output": 1, "name": "Barrier", "entrance_id": None, "gate_id": 1}],
        "version": 1,
    }


class PushTokenDocument(Output):
    """A device of an app's account; of its token only the end."""

    id: RowId
    company_id: RowId
    account: str
    device: str
    platform: Platform
    token_end: str
    created_at_ms: Moment
    updated_at_ms: Moment
    invalidated_at_ms: Moment | None
    invalid_reason: str | None
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "account": "a10012-olga",
        "device": "pixel-7a1f",
        "platform": "fcm",
        "token_end": "1bHun4",
        "created_at_ms": 1790000000000,
        "updated_at_ms": 1790000000000,
        "invalidated_at_ms": None,
        "invalid_reason": None,
        "version": 1,
    }


class ConciergeDeskDocument(Output):
    """A desk that answers for a company, or for one house of it; priority 1 rings first."""

    id: RowId
    company_id: RowId
    house_id: RowId | None
    account: str
    name: str
    priority: int
    on_duty: bool
    phone: str | None
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "house_id": None,
        "account": "c10001",
        "name": "Lobby",
        "priority": 1,
        "on_duty": True,
        "phone": None,
        "version": 1,
    }


class KeyDocument(Output):
    """An RFID key, its number in every notation, and the one thing that it is bound to (`scope` says which)."""

    id: RowId
    company_id: RowId
    number: str
    decimal: str
    wiegand: str
    scope: KeyScope
    resident_id: RowId | None
    apartment_id: RowId | None
    entrance_id: RowId | None
    house_id: RowId | None
    enabled: bool
    note: str
    created_at_ms: Moment
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "number": "C688AC",
        "decimal": "0013011116",
        "wiegand": "198,34988",
        "scope": "apartment",
        "resident_id": None,
        "apartment_id": 7,
        "entrance_id": None,
        "house_id": None,
        "enabled": True,
        "note": "blue",
        "created_at_ms": 1790000000000,
        "version": 1,
    }


class AccessCodeDocument(Output):
    """A code that opens an entrance or a gate, without the code."""

    id: RowId
    company_id: RowId
    entrance_id: RowId | None
    gate_id: RowId | None
    apartment_id: RowId | None
    single_use: bool
    valid_from_ms: Moment
    valid_until_ms: Moment | None
    note: str
    created_at_ms: Moment
    last_used_at_ms: Moment | None
    ended_at_ms: Moment | None
    end_reason: str | None
    slot: Annotated[str | None, Field(description="the run of the schedule that made it; null: out of turn")]
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "entrance_id": 1,
        "gate_id": None,
        "apartment_id": 7,
        "slot": None,
        "single_use": True,
        "valid_from_ms": 1790000000000,
        "valid_until_ms": 1790007200000,
        "note": "courier",
        "created_at_ms": 1790000000000,
        "last_used_at_ms": None,
        "ended_at_ms": None,
        "end_reason": None,
        "version": 1,
    }


class AccessCodeInClear(AccessCodeDocument):
    """A code with its digits."""

    code: str

    EXAMPLE: ClassVar[dict[str, Any]] = {**AccessCodeDocument.EXAMPLE, "code": "40719"}
