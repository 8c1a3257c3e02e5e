"""What all requests have in common: their base classes, and the values that more than one noun takes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_ID = 2**63 - 1
MAX_MS = 2**53

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PRINTABLE)]
Id = Annotated[int, Field(ge=1, le=MAX_ID, strict=True)]
Ms = Annotated[int, Field(ge=0, le=MAX_MS, strict=True)]
AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,31}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]
Flag = Annotated[bool, Field(strict=True)]


class Input(BaseModel):
    """Base: nothing unknown is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def unchanged() -> Any:
    """Return the default of a field of a `...Change`: left out of the body, it stays as it is.

    The services are given the fields that were sent, so this default is never read; OpenAPI shows none.
    """
    return Field(default=None, json_schema_extra=_without_default)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class PageQuery(Input):
    """Query of every list: at most `limit` rows after the row `after`."""

    after: Annotated[int, Field(ge=0, le=MAX_ID)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50


FilterId = Annotated[int, Field(ge=1, le=MAX_ID)] | None


class OfCompanyQuery(PageQuery):
    """Rows of a company."""

    company_id: FilterId = None
    name: str | None = None


class NameQuery(PageQuery):
    """Rows with this name."""

    name: str | None = None
