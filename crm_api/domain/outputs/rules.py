"""Kinds of blocks, blocks, and kept ring plans as they are shown."""

from __future__ import annotations

from typing import Any, ClassVar

from crm_api.domain.outputs.base import Moment, Output, RowId, Version
from crm_api.domain.ring_plan import OnRefusal  # noqa: TC001 - pydantic reads the annotations


class BlockKindDocument(Output):
    """A kind of block and what it stops."""

    id: RowId
    company_id: RowId
    name: str
    stops_calls: bool
    stops_opening: bool
    stops_keys: bool
    stops_codes: bool
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "name": "debt",
        "stops_calls": False,
        "stops_opening": True,
        "stops_keys": False,
        "stops_codes": False,
        "version": 1,
    }


class BlockDocument(Output):
    """A block on an apartment."""

    id: RowId
    company_id: RowId
    apartment_id: RowId
    kind_id: RowId
    reason: str
    starts_at_ms: Moment
    ends_at_ms: Moment | None
    lifted_at_ms: Moment | None
    lift_reason: str | None
    created_at_ms: Moment
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "apartment_id": 7,
        "kind_id": 1,
        "reason": "unpaid since May",
        "starts_at_ms": 1790000000000,
        "ends_at_ms": None,
        "lifted_at_ms": None,
        "lift_reason": None,
        "created_at_ms": 1790000000000,
        "version": 1,
    }


class TargetDocument(Output):
    """A line of a stage: `kind` of the household's accounts, or one `account`."""

    kind: str | None = None
    account: str | None = None


class StageDocument(Output):
    """A stage of a kept ring plan."""

    ring_timeout_s: int
    targets: list[TargetDocument]
    on_refusal: OnRefusal
    confirm: bool
    one_by_one: bool


class RingPlanDocument(Output):
    """A kept ring plan: of an apartment, of a house, or (neither) a company's default."""

    id: RowId
    company_id: RowId
    house_id: RowId | None
    apartment_id: RowId | None
    name: str
    stages: list[StageDocument]
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "house_id": None,
        "apartment_id": 7,
        "name": "Handset first",
        "stages": [
            {
                "ring_timeout_s": 15,
                "targets": [{"kind": "handset"}],
                "on_refusal": "next",
                "confirm": False,
                "one_by_one": False,
            },
            {
                "ring_timeout_s": 30,
                "targets": [{"kind": "phone"}, {"account": "h10013"}],
                "on_refusal": "stop",
                "confirm": True,
                "one_by_one": False,
            },
        ],
        "version": 1,
    }
