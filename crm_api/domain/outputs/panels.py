"""Panels with their places and doors as they are shown."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class PlaceDocument(Output):
    """What a panel serves: an entrance, or (`entrance_id` null) a whole house, under a code."""

    house_id: RowId
    entrance_id: RowId | None
    code: str


class DoorDocument(Output):
    """A door of a panel."""

    id: RowId
    output: int
    name: str
    method: Literal["dtmf", "http", "relay"]
    dtmf: str | None
    relay_id: RowId | None
    relay_output: int | None


class PanelDocument(Output):
    """A panel or gate. Of its credentials only whether there are any."""

    id: RowId
    company_id: RowId
    account: str
    name: str
    driver: Literal["beward", "generic"]
    address: str | None
    has_credentials: bool
    places: list[PlaceDocument]
    doors: list[DoorDocument]
    maker: str | None
    model: str | None
    latitude: float | None
    longitude: float | None
    gate_id: RowId | None
    ring_limit_s: int | None
    talk_limit_s: int | None
    separator: Literal["*", "#"] | None
    last_seen_at_ms: Moment | None
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 3,
        "company_id": 1,
        "account": "p10001",
        "name": "Lenina 1, entrance 1",
        "driver": "beward",
        "address": "10.20.30.40",
        "has_credentials": True,
        "places": [{"house_id": 1, "entrance_id": 1, "code": ""}],
        "doors": [
            {
                "id": 3,
                "output": 1,
                "name": "Door",
                "method": "dtmf",
                "dtmf": "1",
                "relay_id": None,
                "relay_output": None,
            }
        ],
        "maker": "Beward",
        "model": "DKS15122",
        "latitude": None,
        "longitude": None,
        "gate_id": None,
        "ring_limit_s": None,
        "talk_limit_s": 90,
        "separator": None,
        "last_seen_at_ms": 1790000000000,
        "version": 1,
    }


class DoorOpeningDocument(Output):
    """What came of an operator's wish to open; `access_record_id` is null while the database takes no record."""

    result: Literal["opened", "refused", "failed"]
    reason: str
    door_id: RowId
    access_record_id: RowId | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "result": "opened",
        "reason": "the panel confirmed",
        "door_id": 3,
        "access_record_id": 17,
    }
