"""Reports as they are shown."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from crm_api.domain.outputs.base import Moment, Output, RowId


class Entry(Output):
    """One opening of a door, or one refusal, with the names of everything that it concerns."""

    at: Annotated[str, Field(description="local time of the company's city, ISO 8601")]
    id: RowId
    at_ms: Moment
    address: str | None
    apartment: str | None
    panel: str
    door: str | None
    result: str
    method: str | None
    account: str | None
    key: str | None
    resident: str | None
    opened_by: str | None
    reason: str | None
    call_id: str | None


class EntryReport(Output):
    """All entries that were asked for, oldest first."""

    items: list[Entry]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "items": [
            {
                "at": "2026-09-21T18:13:30+03:00",
                "id": 17,
                "at_ms": 1790000010000,
                "address": "Lenina 1",
                "apartment": "12",
                "panel": "Lenina 1, entrance 1",
                "door": "Door",
                "result": "opened",
                "method": "key",
                "account": None,
                "key": "00C688AC",
                "resident": "Anna Petrova",
                "opened_by": None,
                "reason": None,
                "call_id": None,
            }
        ]
    }
