"""Rules of access codes, codes on panels, and notices about them, as they are shown."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class AccessCodeRuleDocument(Output):
    """How a company's codes are drawn, and when its residents are told."""

    id: RowId
    version: Version
    company_id: RowId
    length: int
    alphabet: str
    grace_s: int
    sms: bool
    tell_from_hour: int
    tell_until_hour: int

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "version": 1,
        "company_id": 1,
        "length": 5,
        "alphabet": "0123456789",
        "grace_s": 86400,
        "sms": False,
        "tell_from_hour": 9,
        "tell_until_hour": 20,
    }


class PanelCodeDocument(Output):
    """One code on one panel that keeps codes itself."""

    id: RowId
    company_id: RowId
    panel_id: RowId
    access_code_id: Annotated[RowId | None, Field(description="null: it was removed, and the panel has to forget it")]
    place: Annotated[int, Field(description="where the panel keeps it; its driver makes the maker's own number of it")]
    wanted: Literal["present", "absent"]
    state: Literal["waiting", "done"]
    tries: int
    next_try_ms: Moment
    last_error: str | None
    set_at_ms: int | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 12,
        "company_id": 1,
        "panel_id": 1,
        "access_code_id": 1,
        "place": 1,
        "wanted": "present",
        "state": "waiting",
        "tries": 3,
        "next_try_ms": 1790000240000,
        "last_error": "the panel at 10.0.0.7 did not answer (ConnectTimeoutError): check its network",
        "set_at_ms": None,
    }


class CodeNoticeDocument(Output):
    """A message about a new code to one app or phone."""

    id: RowId
    company_id: RowId
    access_code_id: RowId
    resident_id: RowId
    channel: Literal["push", "sms"]
    address: Annotated[str, Field(description="account of the app, or phone number")]
    state: Literal["waiting", "sending", "sent", "failed"]
    tries: int
    next_try_ms: Moment
    sent_at_ms: Moment | None
    last_error: str | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 31,
        "company_id": 1,
        "access_code_id": 1,
        "resident_id": 1,
        "channel": "sms",
        "address": "+79123456789",
        "state": "sent",
        "tries": 1,
        "next_try_ms": 1790000240000,
        "sent_at_ms": 1790000240310,
        "last_error": None,
    }
