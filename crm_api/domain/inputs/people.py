"""Residents and groups as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from crm_api.domain.inputs.base import (
    NO_NUL,
    FilterId,
    Id,
    Input,
    Ms,
    Name,
    OfCompanyQuery,
    OwnCompany,
    PageQuery,
    unchanged,
)
from crm_api.domain.phones import e164

ResidentRole = Literal["owner", "tenant", "guest"]
GroupKind = Literal["houses", "panels", "apartments"]

Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000, pattern=NO_NUL)]
Phone = Annotated[str, StringConstraints(max_length=40), AfterValidator(e164)]
"""A phone as people write it; kept in E.164."""


def _each_once(phones: list[str]) -> list[str]:
    if len(set(phones)) < len(phones):
        raise ValueError("name each phone once")
    return phones


Phones = Annotated[list[Phone], Field(max_length=10), AfterValidator(_each_once)]


class NewResidency(Input):
    """A resident's role in one apartment. A guest, and only a guest, has an end: from then on he has no right."""

    apartment_id: Id
    role: ResidentRole
    ends_at_ms: Ms | None = None
    ring_order: Annotated[int, Field(ge=1, le=99, strict=True)] | None = None

    @model_validator(mode="after")
    def _ends_if_guest(self) -> Self:
        if (self.role == "guest") != (self.ends_at_ms is not None):
            raise ValueError("a guest, and only a guest, has ends_at_ms: from then on he has no right any more")
        return self


def _each_home_once(homes: list[NewResidency]) -> list[NewResidency]:
    if len({home.apartment_id for home in homes}) < len(homes):
        raise ValueError("name each apartment once")
    return homes


Homes = Annotated[list[NewResidency], Field(max_length=50), AfterValidator(_each_home_once)]


class NewResident(Input):
    """A resident. The first phone is the one to call first."""

    company_id: OwnCompany = None
    name: Name
    phones: Phones = Field(default_factory=list)
    apartments: Homes = Field(default_factory=list)
    note: Note | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "company_id": 1,
        "name": "Anna Petrova",
        "phones": ["+7 912 345-67-89"],
        "apartments": [{"apartment_id": 7, "role": "owner"}],
    }


class ResidentChange(Input):
    """Fields of a resident that may change; `phones` and `apartments` replace what there was."""

    name: Name = unchanged()
    phones: Phones = unchanged()
    apartments: Homes = unchanged()
    note: Note | None = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "apartments": [{"apartment_id": 7, "role": "guest", "ends_at_ms": 1793000000000}]
    }


class ResidentQuery(OfCompanyQuery):
    """Residents of a company or an apartment, or with this phone (in any notation) or name."""

    apartment_id: FilterId = None
    phone: Phone | None = None


class NewGroup(Input):
    """A group of houses, panels or apartments of one company."""

    company_id: OwnCompany = None
    kind: GroupKind
    name: Name
    note: Note | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"company_id": 1, "kind": "houses", "name": "Quality check, March"}


class GroupChange(Input):
    """Fields of a group that may change."""

    name: Name = unchanged()
    note: Note | None = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"name": "Quality check, April"}


class GroupQuery(OfCompanyQuery):
    """Groups of a company, of a kind, or with this name."""

    kind: GroupKind | None = None


class MembersChange(Input):
    """Ids of houses, panels or apartments (the group's kind) to put in and to take out; what is so already stays so."""

    add: Annotated[list[Id], Field(max_length=10_000)] = Field(default_factory=list)
    remove: Annotated[list[Id], Field(max_length=10_000)] = Field(default_factory=list)

    EXAMPLE: ClassVar[dict[str, Any]] = {"add": [1, 2, 3], "remove": [4]}

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.add and not self.remove:
            raise ValueError("give ids in add, in remove, or in both")
        if set(self.add) & set(self.remove):
            raise ValueError("an id stands in add and in remove: leave it in one of them")
        return self


class MemberQuery(PageQuery):
    """A page of a group's members, or of the apartments that they stand for."""
