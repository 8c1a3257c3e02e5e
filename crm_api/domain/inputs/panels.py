"""Panels with their places and doors as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from crm_api.domain.inputs.base import (
    PRINTABLE,
    AccountName,
    FilterId,
    FilterMs,
    FilterText,
    Host,
    Id,
    Input,
    Latitude,
    Longitude,
    Name,
    OfCompanyQuery,
    OwnCompany,
    unchanged,
)

RingLimit = Annotated[int, Field(ge=5, le=600, strict=True)]
TalkLimit = Annotated[int, Field(ge=10, le=3600, strict=True)]
Separator = Literal["*", "#"]
Dtmf = Annotated[str, StringConstraints(pattern=r"^[0-9A-D*#]{1,8}$")]
Output = Annotated[int, Field(ge=1, le=16, strict=True)]
Driver = Literal["beward", "generic"]


class NewPlace(Input):
    """What a panel serves: one entrance, or a whole house, under a code (docs/api.md, Numbering)."""

    entrance_id: Id | None = None
    house_id: Id | None = None
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{0,4}$")] = ""

    @model_validator(mode="after")
    def _one_of_two(self) -> NewPlace:
        if (self.entrance_id is None) == (self.house_id is None):
            raise ValueError("give either entrance_id or house_id")
        return self


class NewDoor(Input):
    """A door of a panel.

    It opens by the digits `dtmf` in the call, over `http` through the panel's driver, or by a `relay` of its own.
    """

    output: Output = 1
    name: Name = "Door"
    method: Literal["dtmf", "http", "relay"]
    dtmf: Dtmf | None = None
    relay_id: Id | None = None
    relay_output: Output | None = None

    @model_validator(mode="after")
    def _what_the_method_needs(self) -> NewDoor:
        if self.method == "dtmf" and self.dtmf is None:
            raise ValueError("method dtmf needs dtmf: the digits that open this door")
        if (self.method == "relay") != (self.relay_id is not None) or (self.relay_id is None) != (
            self.relay_output is None
        ):
            raise ValueError("method relay, and only that, needs relay_id and relay_output")
        return self


class NewRelayDoor(Input):
    """A door of a relay, and the entrance or gate where it is."""

    output: Output
    name: Name = "Door"
    entrance_id: Id | None = None
    gate_id: Id | None = None

    @model_validator(mode="after")
    def _one_place(self) -> NewRelayDoor:
        if self.entrance_id is not None and self.gate_id is not None:
            raise ValueError("a door is at an entrance or at a gate: give one of them")
        return self


class Credentials(Input):
    """User and password of the panel's web interface."""

    user: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^:\x00-\x1f\x7f]+$")]
    password: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=PRINTABLE)]


class NewPanel(Input):
    """A panel of an entrance, or a gate that serves several places. `account` is an account of kind panel."""

    account: AccountName
    name: Name
    maker: Name | None = None
    model: Name | None = None
    driver: Driver = "generic"
    address: Host | None = None
    credentials: Credentials | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    gate_id: Id | None = None
    ring_limit_s: RingLimit | None = None
    talk_limit_s: TalkLimit | None = None
    separator: Separator | None = None
    places: Annotated[list[NewPlace], Field(min_length=1, max_length=88)]
    doors: Annotated[tuple[NewDoor, ...], Field(max_length=16)] = ()

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "account": "p10001",
        "name": "Lenina 1, entrance 1",
        "driver": "beward",
        "address": "10.20.30.40",
        "credentials": {"user": "admin", "password": "a secret of the panel"},
        "places": [{"entrance_id": 1}],
        "doors": [{"method": "dtmf", "dtmf": "1"}],
    }


class PanelChange(Input):
    """Fields of a panel that may change; `places` and `doors` replace what there was."""

    name: Name = unchanged()
    maker: Name | None = unchanged()
    model: Name | None = unchanged()
    driver: Driver = unchanged()
    address: Host | None = unchanged()
    credentials: Credentials | None = unchanged()
    latitude: Latitude | None = unchanged()
    longitude: Longitude | None = unchanged()
    gate_id: Id | None = unchanged()
    ring_limit_s: RingLimit | None = unchanged()
    talk_limit_s: TalkLimit | None = unchanged()
    separator: Separator | None = unchanged()
    places: Annotated[list[NewPlace], Field(min_length=1, max_length=88)] = unchanged()
    doors: Annotated[list[NewDoor], Field(max_length=16)] = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"doors": [{"method": "http", "output": 1}]}


class NewRelay(Input):
    """A network relay that opens doors and carries no calls."""

    company_id: OwnCompany = None
    name: Name
    maker: Name | None = None
    model: Name | None = None
    driver: Driver = "generic"
    address: Host
    credentials: Credentials | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    doors: Annotated[tuple[NewRelayDoor, ...], Field(max_length=16)] = ()

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "name": "Barrier",
        "company_id": 1,
        "address": "10.20.30.50",
        "doors": [{"output": 1, "name": "Barrier", "gate_id": 1}],
    }


class RelayChange(Input):
    """Fields of a relay that may change; `doors` replaces what there was."""

    name: Name = unchanged()
    maker: Name | None = unchanged()
    model: Name | None = unchanged()
    driver: Driver = unchanged()
    address: Host = unchanged()
    credentials: Credentials | None = unchanged()
    latitude: Latitude | None = unchanged()
    longitude: Longitude | None = unchanged()
    doors: Annotated[list[NewRelayDoor], Field(max_length=16)] = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"address": "10.20.30.51"}


class PanelQuery(OfCompanyQuery):
    """Panels of a company, those that serve a house or stand at a gate, or the one with this account or address."""

    account: FilterText = None
    house_id: FilterId = None
    gate_id: FilterId = None
    address: FilterText = None
    silent_since_ms: FilterMs = None
    """Panels whose `last_seen_at_ms` is before this moment (epoch milliseconds) or null.

    Of ten minutes ago: those that are not registered, and have done nothing else since.
    """
