"""Residents and groups as they are shown."""

from __future__ import annotations

from typing import Any, ClassVar

from crm_api.domain.inputs.people import GroupKind, ResidentRole  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class ResidencyDocument(Output):
    """A resident's role in one apartment; a guest's right ends at `ends_at_ms`."""

    apartment_id: RowId
    role: ResidentRole
    ends_at_ms: Moment | None
    ring_order: int | None


class ResidentDocument(Output):
    """A resident."""

    id: RowId
    company_id: RowId
    name: str
    phones: list[str]
    apartments: list[ResidencyDocument]
    note: str | None
    created_at_ms: Moment
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 31,
        "company_id": 1,
        "name": "Anna Petrova",
        "phones": ["+79123456789"],
        "apartments": [{"apartment_id": 7, "role": "owner", "ends_at_ms": None, "ring_order": 1}],
        "note": None,
        "created_at_ms": 1790000000000,
        "version": 1,
    }


class GroupDocument(Output):
    """A group; `members` counts its houses, panels or apartments."""

    id: RowId
    company_id: RowId
    kind: GroupKind
    name: str
    note: str | None
    members: int
    created_at_ms: Moment
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 2,
        "company_id": 1,
        "kind": "houses",
        "name": "Quality check, March",
        "note": None,
        "members": 12,
        "created_at_ms": 1790000000000,
        "version": 3,
    }


class MemberDocument(Output):
    """A member of a group: a house, a panel or an apartment."""

    id: RowId
    house_id: RowId | None
    panel_id: RowId | None
    apartment_id: RowId | None

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": 40, "house_id": 1, "panel_id": None, "apartment_id": None}


class GroupApartmentDocument(Output):
    """An apartment that a group stands for."""

    id: RowId
    house_id: RowId
    entrance_id: RowId
    number: int

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": 7, "house_id": 1, "entrance_id": 1, "number": 12}
