"""Kinds of blocks, and blocks on apartments, as they are asked for."""

from __future__ import annotations

from typing import Any, ClassVar

from crm_api.domain.inputs.base import FilterId, Flag, Id, Input, Ms, Name, OwnCompany, PageQuery, unchanged


class NewBlockKind(Input):
    """A kind of block and what it stops."""

    company_id: OwnCompany = None
    name: Name
    stops_calls: Flag = False
    stops_opening: Flag = False
    stops_keys: Flag = False
    stops_codes: Flag = False

    EXAMPLE: ClassVar[dict[str, Any]] = {"company_id": 1, "name": "debt", "stops_calls": False, "stops_opening": True}


class BlockKindChange(Input):
    """Fields of a block kind that may change; every apartment under such a block follows."""

    name: Name = unchanged()
    stops_calls: Flag = unchanged()
    stops_opening: Flag = unchanged()
    stops_keys: Flag = unchanged()
    stops_codes: Flag = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"stops_calls": True}


class NewBlock(Input):
    """A block put on an apartment, from now or from `starts_at_ms`, for good or until `ends_at_ms`.

    It stops what its kind says, to the second; a panel that keeps codes itself is told some seconds later.
    """

    apartment_id: Id
    kind_id: Id
    reason: Name
    starts_at_ms: Ms | None = None
    ends_at_ms: Ms | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"apartment_id": 7, "kind_id": 1, "reason": "unpaid since May"}


class BlockChange(Input):
    """Fields of a block that may change."""

    reason: Name = unchanged()
    ends_at_ms: Ms | None = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"ends_at_ms": 1790086400000}


class BlockLift(Input):
    """A block is taken off, from now; the block stays on record."""

    reason: Name

    EXAMPLE: ClassVar[dict[str, Any]] = {"reason": "paid"}


class BlockQuery(PageQuery):
    """Blocks of an apartment or of a kind, those in force now or the others."""

    company_id: FilterId = None
    apartment_id: FilterId = None
    kind_id: FilterId = None
    in_force: bool | None = None
