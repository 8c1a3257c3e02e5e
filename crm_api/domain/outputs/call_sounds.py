"""Sounds of calls as they are shown."""

from __future__ import annotations

from typing import Any, ClassVar

from crm_api.domain.inputs.call_sounds import SoundKind  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class CallSoundDocument(Output):
    """A message that a visitor left, or a recorded talk; the sound itself is at `.../audio` until `expires_at_ms`.

    `has_picture`: the panel has given a picture of the visitor, at `.../picture`.
    """

    id: RowId
    company_id: RowId
    kind: SoundKind
    call_id: str
    panel: str
    dialled: str
    apartment_id: RowId | None
    at_ms: Moment
    duration_ms: int
    heard_at_ms: Moment | None
    expires_at_ms: Moment
    has_picture: bool
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "kind": "message",
        "call_id": "3f1c9a0e@10.20.30.40",
        "panel": "p10001",
        "dialled": "12",
        "apartment_id": 7,
        "at_ms": 1790000000000,
        "duration_ms": 12480,
        "heard_at_ms": None,
        "expires_at_ms": 1791209600000,
        "has_picture": True,
        "version": 1,
    }
