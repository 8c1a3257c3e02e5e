"""What all requests have in common: their base classes, and the values that more than one noun takes."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

MAX_ID = 2**63 - 1
MAX_MS = 2**53 - 1

NO_NUL = r"^[^\x00]*$"
"""Any text that a database keeps."""
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PRINTABLE)]
Id = Annotated[int, Field(ge=1, le=MAX_ID, strict=True)]
Ms = Annotated[int, Field(ge=0, le=MAX_MS, strict=True)]
AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,31}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]
Flag = Annotated[bool, Field(strict=True)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, strict=True)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, strict=True)]

HIGHEST_PORT: Final = 65535


def _reachable(text: str) -> str:
    """Refuse a port or an IPv4 address that cannot be: who is called there would be silent for ever."""
    host, colon, port = text.partition(":")
    if colon and not 1 <= int(port) <= HIGHEST_PORT:
        raise ValueError(f"give a port from 1 to {HIGHEST_PORT}")
    if not host.strip("0123456789."):
        try:
            IPv4Address(host)
        except ValueError:
            raise ValueError("give a name, or an IPv4 address such as 192.0.2.10") from None
    return text


Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$"), AfterValidator(_reachable)]
"""A name or an IPv4 address, with or without port."""


class Input(BaseModel):
    """Base: nothing unknown is accepted. The `EXAMPLE` of a body is shown in the OpenAPI document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    EXAMPLE: ClassVar[dict[str, Any]]


def unchanged() -> Any:
    """Return the default of a field of a `...Change`: left out of the body, it stays as it is.

    The services are given the fields that were sent, so this default is never read; OpenAPI shows none.
    """
    return Field(default=None, json_schema_extra=_without_default)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class PageQuery(Input):
    """Query of every list: a page of `limit` rows, beginning where the page with this `next` ended.

    A noun's own query adds filters, and widens `sort` by columns that have an index and are never NULL.
    """

    cursor: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    sort: Annotated[str, StringConstraints(pattern="^-?id$")] = "id"


FilterId = Annotated[int, Field(ge=1, le=MAX_ID)] | None
FilterMs = Annotated[int, Field(ge=0, le=MAX_MS)] | None
Separator = Literal["comma", "semicolon", "tab"]
FilterText = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)] | None


class NameQuery(PageQuery):
    """Rows with this name."""

    name: FilterText = None
    sort: Literal["id", "-id", "name", "-name"] = "id"


class OfCompanyQuery(NameQuery):
    """Rows of a company, or with this name."""

    company_id: FilterId = None
