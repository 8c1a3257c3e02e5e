"""Sounds of calls as they are told and asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from crm_api.domain.inputs.base import MAX_MS, FilterId, FilterText, Input, PageQuery

SoundKind = Literal["message", "recording"]


class NewCallSound(Input):
    """What was recorded, of which call; the sound is the body."""

    kind: SoundKind
    call_id: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    panel: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    dialled: Annotated[str, StringConstraints(min_length=1, max_length=32)]
    at_ms: Annotated[int, Field(ge=0, le=MAX_MS)]


class CallSoundQuery(PageQuery):
    """Messages and recordings of a company, an apartment or a call."""

    company_id: FilterId = None
    apartment_id: FilterId = None
    kind: SoundKind | None = None
    call_id: FilterText = None
    sort: Literal["id", "-id"] = "-id"
