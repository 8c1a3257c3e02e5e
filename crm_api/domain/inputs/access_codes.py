"""Access codes as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from crm_api.domain.inputs.base import FilterId, Flag, Id, Input, Ms, Name, PageQuery, unchanged
from crm_api.domain.inputs.keys import Note  # noqa: TC001 - pydantic reads the annotations

CodeText = Annotated[str, StringConstraints(pattern=r"^[0-9]{4,12}$")]
CodeLength = Annotated[int, Field(ge=4, le=12, strict=True)]


class NewAccessCode(Input):
    """A code for an entrance or a gate; without `code` one is drawn by the company's rules. The answer shows it."""

    entrance_id: Id | None = None
    gate_id: Id | None = None
    apartment_id: Id | None = None
    """Whose visitor it is for: a block of that apartment that stops codes stops this one."""
    code: CodeText | None = None
    length: CodeLength | None = None
    """Of the code that is drawn; null: as long as the company's codes are (`/v1/access-code-rules`)."""
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


class AccessCodeRuleChange(Input):
    """How a company's codes are drawn, and when its residents are told."""

    length: CodeLength = unchanged()
    alphabet: Annotated[str, StringConstraints(min_length=4, max_length=10, pattern=r"^[0-9]+$")] = unchanged()
    grace_s: Annotated[int, Field(ge=0, le=7 * 86_400, strict=True)] = unchanged()
    sms: Flag = unchanged()
    tell_from_hour: Annotated[int, Field(ge=0, le=23, strict=True)] = unchanged()
    tell_until_hour: Annotated[int, Field(ge=1, le=24, strict=True)] = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"length": 5, "grace_s": 86400, "sms": False}

    @field_validator("alphabet")
    @classmethod
    def _each_once(cls, alphabet: str) -> str:
        if len(set(alphabet)) != len(alphabet):
            raise ValueError("name each digit once")
        return alphabet


class AccessCodeRuleQuery(PageQuery):
    """Rules of companies."""

    company_id: FilterId = None


class PanelCodeQuery(PageQuery):
    """Codes on panels."""

    company_id: FilterId = None
    panel_id: FilterId = None
    access_code_id: FilterId = None
    state: Literal["waiting", "done"] | None = None
    wanted: Literal["present", "absent"] | None = None


class CodeNoticeQuery(PageQuery):
    """Messages about new codes, newest first unless asked otherwise."""

    company_id: FilterId = None
    access_code_id: FilterId = None
    resident_id: FilterId = None
    state: Literal["waiting", "sending", "sent", "failed"] | None = None
    sort: Literal["id", "-id"] = "-id"
