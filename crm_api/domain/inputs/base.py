"""What all requests have in common: their base classes, and the values that more than one noun takes."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from crm_api.domain.zones import zone_names

MAX_ID = 2**63 - 1
MAX_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: what is later is no moment to a calendar."""

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
_ENDS_IN_A_NUMBER: Final = re.compile(r"(^|\.)(0[xX][0-9A-Fa-f]*|[0-9]+)\.?$")
"""No name does (https://url.spec.whatwg.org/#ends-in-a-number-checker)."""


def _reachable(text: str) -> str:
    """Refuse a port or an IPv4 address that cannot be: who is called there would be silent for ever."""
    host, colon, port = text.partition(":")
    if colon and not 1 <= int(port) <= HIGHEST_PORT:
        raise ValueError(f"give a port from 1 to {HIGHEST_PORT}")
    if _ENDS_IN_A_NUMBER.search(host):  # resolvers take 0xa000005 and 10.5 for IPv4 addresses, too
        try:
            IPv4Address(host)
        except ValueError:
            raise ValueError("give a name, or an IPv4 address such as 192.0.2.10") from None
    return f"{host}:{int(port)}" if colon else host


def _known_zone(name: str) -> str:
    if name not in zone_names():
        raise ValueError("give a time zone of the IANA database, such as Asia/Yekaterinburg")
    return name


Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_zone)]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$"), AfterValidator(_reachable)]
"""A name or an IPv4 address, with or without port."""


class Input(BaseModel):
    """Base: nothing unknown is accepted. The `EXAMPLE` of a body is shown in the OpenAPI document."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

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


OwnCompany = Annotated[
    Id | None,
    Field(
        description="id of the company (`/v1/companies`) that it will belong to; left out: that of the house or "
        "apartment that is named, else the only one that who asks acts for"
    ),
]
"""Whose a new row is; `crm_api.services.kept.company_for` finds it when it is not said."""
FilterId = Annotated[int, Field(ge=1, le=MAX_ID)] | None
FilterMs = Annotated[int, Field(ge=0, le=MAX_MS)] | None
Separator = Literal["comma", "semicolon", "tab"]
FilterText = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)] | None


class NameQuery(PageQuery):
    """All that the token may see, or what has this name."""

    name: FilterText = None
    """Rows with exactly this name."""
    sort: Literal["id", "-id", "name", "-name"] = "id"


class OfCompanyQuery(NameQuery):
    """All that the token may see, or what is a company's or has this name."""

    company_id: FilterId = None
