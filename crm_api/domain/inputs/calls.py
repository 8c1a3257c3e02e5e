"""What is asked about calls: a door to be opened in one, records of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from crm_api.domain.inputs.base import MAX_ID, FilterId, Input, PageQuery


class DoorOpening(Input):
    """A resident pressed a key while talking (docs/contracts.md §6)."""

    call_id: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    panel: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    dialled: Annotated[str, StringConstraints(min_length=1, max_length=32)]
    account: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    key: Annotated[str, StringConstraints(max_length=8)] = "#"


class RecordQuery(PageQuery):
    """Records, newest first, of an apartment or a panel's account."""

    after: Annotated[int, Field(ge=0, le=MAX_ID)] = 0
    apartment: FilterId = None
    panel: str | None = None
