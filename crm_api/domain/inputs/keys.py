"""RFID keys as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import StringConstraints, model_validator

from crm_api.domain.inputs.base import PRINTABLE, FilterId, Flag, Id, Input, PageQuery, Separator, unchanged
from crm_api.domain.key_numbers import ByteOrder, Notation  # noqa: TC001 - pydantic reads the annotations

KeyScope = Literal["resident", "apartment", "entrance", "house", "company"]
KeyText = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=PRINTABLE)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
OWNERS = ("resident_id", "apartment_id", "entrance_id", "house_id")


class NewKey(Input):
    """A key, bound to exactly one of resident, apartment, entrance or house, or to the whole company.

    `company_id` is for the last alone, and must be said: a key that opens everything is never made by leaving a field
    out.
    """

    number: KeyText
    notation: Notation = "auto"
    byte_order: ByteOrder = "high_first"
    resident_id: Id | None = None
    apartment_id: Id | None = None
    entrance_id: Id | None = None
    house_id: Id | None = None
    company_id: Id | None = None
    """Id of the company all of whose doors the key opens; left out: it is bound to one of the others."""
    enabled: Flag = True
    note: Note = ""

    EXAMPLE: ClassVar[dict[str, Any]] = {"number": "198,34988", "apartment_id": 7, "note": "blue"}

    @model_validator(mode="after")
    def _one_owner(self) -> Self:
        owners = (*OWNERS, "company_id")
        if sum(getattr(self, owner) is not None for owner in owners) != 1:
            raise ValueError(f"a key is bound to exactly one: give one of {', '.join(owners)}")
        return self


class KeyChange(Input):
    """Fields of a key that may change; naming another owner, or the key's company, binds the key to that alone."""

    resident_id: Id = unchanged()
    apartment_id: Id = unchanged()
    entrance_id: Id = unchanged()
    house_id: Id = unchanged()
    company_id: Id = unchanged()
    """Id of the key's company: all of its doors are opened by it then."""
    enabled: Flag = unchanged()
    note: Note = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"enabled": False, "note": "lost"}


class KeyQuery(PageQuery):
    """Keys of an owner, or those with this number; one that may be decimal or hexadecimal means both."""

    company_id: FilterId = None
    scope: KeyScope | None = None
    resident_id: FilterId = None
    apartment_id: FilterId = None
    entrance_id: FilterId = None
    house_id: FilterId = None
    enabled: bool | None = None
    number: KeyText | None = None
    sort: Literal["id", "-id", "number", "-number"] = "id"


class KeyExport(Input):
    """Which keys, and in which notation."""

    company_id: FilterId = None
    house_id: FilterId = None
    panel_id: FilterId = None
    notation: Literal["hex", "decimal", "wiegand"] = "hex"
    byte_order: ByteOrder = "high_first"
    separator: Separator = "comma"
