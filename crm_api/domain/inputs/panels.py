"""Panels with their places and doors as they are asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from crm_api.domain.inputs.base import PRINTABLE, AccountName, Id, Input, Name, unchanged

Dtmf = Annotated[str, StringConstraints(pattern=r"^[0-9A-D*#]{1,8}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$")]


class NewPlace(Input):
    """What a panel serves: one entrance, or a whole house, under a code (docs/api.md, Numbering)."""

    entrance_id: Id | None = None
    house_id: Id | None = None
    code: Annotated[str, StringConstraints(pattern=r"^([1-9][0-9])?$")] = ""

    @model_validator(mode="after")
    def _one_of_two(self) -> NewPlace:
        if (self.entrance_id is None) == (self.house_id is None):
            raise ValueError("give either entrance_id or house_id")
        return self


class NewDoor(Input):
    """A door of a panel. `dtmf` is needed when the method is `dtmf`."""

    output: Annotated[int, Field(ge=1, le=16, strict=True)] = 1
    name: Name = "Door"
    method: Literal["dtmf", "http"]
    dtmf: Dtmf | None = None

    @model_validator(mode="after")
    def _dtmf_given(self) -> NewDoor:
        if self.method == "dtmf" and self.dtmf is None:
            raise ValueError("method dtmf needs dtmf: the digits that open this door")
        return self


class Credentials(Input):
    """User and password of the panel's web interface."""

    user: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^:\x00-\x1f\x7f]+$")]
    password: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=PRINTABLE)]


class NewPanel(Input):
    """A panel of an entrance, or a gate that serves several places. `account` is an account of kind panel."""

    account: AccountName
    name: Name
    driver: Literal["beward", "generic"] = "generic"
    address: Address | None = None
    credentials: Credentials | None = None
    places: Annotated[list[NewPlace], Field(min_length=1, max_length=88)]
    doors: Annotated[tuple[NewDoor, ...], Field(max_length=16)] = ()


class PanelChange(Input):
    """Fields of a panel that may change; `places` and `doors` replace what there was."""

    name: Name = unchanged()
    driver: Literal["beward", "generic"] = unchanged()
    address: Address | None = unchanged()
    credentials: Credentials | None = unchanged()
    places: Annotated[list[NewPlace], Field(min_length=1, max_length=88)] = unchanged()
    doors: Annotated[list[NewDoor], Field(max_length=16)] = unchanged()
