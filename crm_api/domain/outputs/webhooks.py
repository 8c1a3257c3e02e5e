"""Webhooks and their deliveries as they are shown."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from crm_api.domain.inputs.webhooks import WebhookEvent  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class WebhookDocument(Output):
    """Where a company is told what happens."""

    id: RowId
    company_id: RowId
    url: str
    events: list[WebhookEvent]
    enabled: bool
    created_at_ms: Moment
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "url": "https://crm.riverside.example/entryphone",
        "events": ["call.ended", "door.opened"],
        "enabled": True,
        "created_at_ms": 1790000000000,
        "version": 1,
    }


class WebhookWithSecret(WebhookDocument):
    """A webhook whose secret was made just now: it is never shown again."""

    secret: str

    EXAMPLE: ClassVar[dict[str, Any]] = {**WebhookDocument.EXAMPLE, "secret": "q7m2kd94hxnb8sw3tz6vcy5r"}


class WebhookDeliveryDocument(Output):
    """One thing that is to be told: `subject` is a Call-ID, an access record or a message."""

    id: RowId
    webhook_id: RowId
    company_id: RowId
    event: WebhookEvent
    subject: str
    state: Literal["waiting", "delivered", "dead"]
    attempts: int
    created_at_ms: Moment
    due_at_ms: Moment
    delivered_at_ms: Moment | None
    last_error: str | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 9,
        "webhook_id": 1,
        "company_id": 1,
        "event": "call.ended",
        "subject": "3f1c9a0e@10.20.30.40",
        "state": "dead",
        "attempts": 8,
        "created_at_ms": 1790000000000,
        "due_at_ms": 1790000100000,
        "delivered_at_ms": None,
        "last_error": "HTTP 500",
    }
