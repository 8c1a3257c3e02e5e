"""What a search answers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from crm_api.domain.outputs.base import Output, RowId


class FoundDocument(Output):
    """Something that was found: what it is, where it is kept, where it stands."""

    noun: Literal["house", "apartment", "panel", "account", "resident", "key"]
    key: str
    href: str
    company_id: RowId | None
    title: str
    address: str | None
    apartment: str | None
    matched: str

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "noun": "resident",
        "key": "17",
        "href": "/v1/residents/17",
        "company_id": 1,
        "title": "Anna Petrova",
        "address": "Lenina 1",
        "apartment": "12",
        "matched": "+79123456789",
    }


class SearchDocument(Output):
    """Everything that was found, kind by kind."""

    items: list[FoundDocument]

    EXAMPLE: ClassVar[dict[str, Any]] = {"items": [FoundDocument.EXAMPLE]}
