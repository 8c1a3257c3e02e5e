"""Access codes as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from crm_api.domain.inputs.base import FilterId, Flag, Id, Input, Ms, Name, PageQuery
from crm_api.domain.inputs.keys import Note  # noqa: TC001 - pydantic reads the annotations

CodeText = Annotated[str, StringConstraints(pattern=r"^[0-9]{4,12}$")]
CodeLength = Annotated[int, Field(ge=4, le=12, strict=True)]


class NewAccessCode(Input):
    """A code for an entrance or a gate; without `code` one of `length` digits is drawn."""

    entrance_id: Id | None = None
    gate_id: Id | None = None
    apartment_id: Id | None = None
    """Whose visitor it is for: a block of that apartment that stops codes stops this one."""
    code: CodeText | None = None
    length: CodeLength = 5
    valid_from_ms: Ms | None = None
    valid_until_ms: Ms | None = None
    single_use: Flag = False
    note: Note = ""

    EXAMPLE: ClassVar[dict[str, Any]] = {"entrance_id": 1, "apartment_id": 7, "single_use": True, "note": "courier"}

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.entrance_id is None) == (self.gate_id is None):
            raise ValueError("give either entrance_id or gate_id")
        return self


class AccessCodeEnd(Input):
    """A code stops opening, from now; it stays on record."""

    reason: Name

    EXAMPLE: ClassVar[dict[str, Any]] = {"reason": "told to too many"}


class AccessCodeQuery(PageQuery):
    """Codes of an entrance, gate or apartment."""

    company_id: FilterId = None
    entrance_id: FilterId = None
    gate_id: FilterId = None
    apartment_id: FilterId = None
    active: bool | None = None
    """Codes that have not been ended, used up or replaced."""
