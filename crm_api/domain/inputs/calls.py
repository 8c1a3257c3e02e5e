"""What is asked about calls: a door to be opened in one, records of them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from crm_api.domain.inputs.base import (
    MAX_MS,
    NO_NUL,
    AccountName,
    FilterId,
    FilterMs,
    FilterText,
    Flag,
    Input,
    Ms,
    PageQuery,
    Separator,
)
from crm_api.domain.inputs.keys import KeyText  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.key_numbers import ByteOrder, Notation  # noqa: TC001 - the same


class DoorOpening(Input):
    """A resident pressed a key while talking (docs/contracts.md §6)."""

    call_id: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=NO_NUL)]
    panel: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]
    dialled: Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=NO_NUL)]
    account: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]
    key: Annotated[str, StringConstraints(max_length=8, pattern=NO_NUL)] = "#"

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "call_id": "3f1c9a0e@10.20.30.40",
        "panel": "p10001",
        "dialled": "12",
        "account": "h10012a",
        "key": "#",
    }


class CodeEntry(Input):
    """A visitor typed an access code at a panel that sends it as a call (docs/contracts.md §6)."""

    call_id: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=NO_NUL)]
    panel: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,32}$")]

    EXAMPLE: ClassVar[dict[str, Any]] = {"call_id": "3f1c9a0e@10.20.30.40", "panel": "p10001", "code": "40719"}


class CodeLockQuery(PageQuery):
    """Locks of a company, a panel, an entrance or a gate."""

    company_id: FilterId = None
    panel_id: FilterId = None
    entrance_id: FilterId = None
    gate_id: FilterId = None


class RecordQuery(PageQuery):
    """Records of a company, house, apartment or panel (its account), from a moment on and before another."""

    company_id: FilterId = None
    house_id: FilterId = None
    apartment_id: FilterId = None
    panel: FilterText = None
    from_ms: FilterMs = None
    to_ms: FilterMs = None


class CallQuery(RecordQuery):
    """Calls; newest first unless asked otherwise."""

    apartment_id: Annotated[
        FilterId,
        Field(
            description="filter: id of an apartment: calls to it, from a panel or from inside, from it, or passed on"
        ),
    ] = None
    answered_by: FilterText = None
    result: FilterText = None
    sort: Literal["id", "-id", "started_at_ms", "-started_at_ms"] = "-id"


class AccessQuery(RecordQuery):
    """Openings and refusals; newest first unless asked otherwise."""

    key_id: FilterId = None
    key_number: KeyText | None = None
    access_code_id: FilterId = None
    account: FilterText = None
    result: Literal["granted", "sent", "opened", "refused", "failed"] | None = None
    sort: Literal["id", "-id", "at_ms", "-at_ms"] = "-id"


class EntryQuery(Input):
    """Which entries a report tells: those from a moment on and before another, of a house, apartment or key."""

    from_ms: Annotated[int, Field(ge=0, le=MAX_MS)]
    to_ms: Annotated[int, Field(ge=0, le=MAX_MS)]
    company_id: FilterId = None
    house_id: FilterId = None
    apartment_id: FilterId = None
    key_id: FilterId = None
    key_number: KeyText | None = None
    panel: FilterText = None
    """Entries at the panel with this account; those at a relay's own door have the relay's name."""


class EntryCsvQuery(EntryQuery):
    """The same, as a file."""

    separator: Separator = "comma"


class NewKeyUse(Input):
    """A panel tells that a key was held to its reader."""

    panel: AccountName
    number: KeyText
    notation: Notation = "auto"
    byte_order: ByteOrder = "high_first"
    opened: Flag
    at_ms: Annotated[
        Ms | None,
        Field(description="when; null, more than 5 minutes ahead, or more than 90 days ago: the moment this is told"),
    ] = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"panel": "p10001", "number": "00C688AC", "opened": True}
