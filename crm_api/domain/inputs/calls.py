"""What is asked about calls: a door to be opened in one, records of them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import StringConstraints

from crm_api.domain.inputs.base import FilterId, FilterText, Input, PageQuery


class DoorOpening(Input):
    """A resident pressed a key while talking (docs/contracts.md §6)."""

    call_id: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    panel: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    dialled: Annotated[str, StringConstraints(min_length=1, max_length=32)]
    account: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    key: Annotated[str, StringConstraints(max_length=8)] = "#"

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "call_id": "3f1c9a0e@10.20.30.40",
        "panel": "p10001",
        "dialled": "12",
        "account": "h10012a",
        "key": "#",
    }


class RecordQuery(PageQuery):
    """Records of an apartment or of a panel's account; newest first unless asked otherwise."""

    company_id: FilterId = None
    apartment_id: FilterId = None
    panel: FilterText = None
    sort: Literal["id", "-id"] = "-id"
